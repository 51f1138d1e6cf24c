"""The Flask application of all HTTP services: `gunicorn 'matengine.api.app:create_app()'`."""

import os
from collections.abc import Iterable
from importlib.metadata import version

from flask import Blueprint
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.info import Info

from matengine import settings
from matengine.api import (
    annotation,
    auth,
    auth_routes,
    chunkedgraph,
    chunkedgraph_edits,
    chunkedgraph_log,
    chunkedgraph_nodes,
    errors,
    guard,
    health,
    info,
    logs,
    materialize,
    schema,
    segmentation,
    state,
    volume,
    wire,
)
from matengine.api.description import DescribedOpenAPI
from matengine.errors import Invalid, did_you_mean
from matengine.web import status

# by service; MATENGINE_SERVICES names those that a server offers
BLUEPRINTS: dict[str, tuple[Blueprint, ...]] = {
    "materialize": materialize.BLUEPRINTS,
    "chunkedgraph": (
        segmentation.api,
        volume.api,
        chunkedgraph.api,
        chunkedgraph_edits.api,
        chunkedgraph_log.api,
        chunkedgraph_nodes.api,
    ),
    "annotation": annotation.BLUEPRINTS,
    "info": (info.api,),
    "schema": (schema.api,),
    "state": (state.api,),
    "auth": (auth_routes.api,),
    "web": (status.page,),
}
# what they tell is public
OPEN_BLUEPRINTS = frozenset({health.api.name, schema.api.name, "openapi", "swagger"})

# the largest request body, as sent; MATENGINE_MAX_BODY_BYTES changes it
MAX_BODY_BYTES = 256_000_000


def create_app(
    *,
    hosts: Iterable[str] | None = None,
    origins: Iterable[str] | None = None,
    services: Iterable[str] | None = None,
) -> DescribedOpenAPI:
    """Make the application; nothing connects to a database before the first request.

    hosts: names that requests may call this server by, beside loopback; `*` allows any. origins:
    web pages elsewhere (https://HOST) that may read and write. By default both come, separated
    by commas, from MATENGINE_HOSTS and MATENGINE_ORIGINS. services: names in BLUEPRINTS, for when
    the others are served elsewhere; by default those of MATENGINE_SERVICES, or all. Raises Invalid
    for an unknown one.
    """
    logs.configure()
    app = DescribedOpenAPI(
        "matengine",
        info=Info(title="Materialization Engine", version=version("matengine")),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_callback=errors.invalid_request,
        static_folder=None,
    )
    app.config["MAX_CONTENT_LENGTH"] = (
        settings.whole_number("MATENGINE_MAX_BODY_BYTES") or MAX_BODY_BYTES
    )
    # clients take any redirect for a login page, so no path may cause one
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    known = _listed("MATENGINE_HOSTS") if hosts is None else list(hosts)
    guard.install(
        app, hosts=known, origins=_listed("MATENGINE_ORIGINS") if origins is None else origins
    )
    errors.install(app)
    app.before_request(wire.refuse_nul)
    auth.install(
        app,
        others=bool(known),
        without=OPEN_BLUEPRINTS,
    )
    if auth.logins(app):
        app.openapi_extensions["security"] = [{"token": []}]
    app.register_api(health.api)
    for service in _services(_listed("MATENGINE_SERVICES") if services is None else services):
        if service == "auth" and auth.logins(app):
            continue  # the auth service is elsewhere
        for blueprint in BLUEPRINTS[service]:
            if isinstance(blueprint, APIBlueprint):
                app.register_api(blueprint)
            else:
                app.register_blueprint(blueprint)
    return app


def _services(wanted: Iterable[str]) -> list[str]:
    """The services to offer, in the order of BLUEPRINTS; all where none is named."""
    named = set(wanted)
    for name in sorted(named - BLUEPRINTS.keys()):
        hint = did_you_mean(name, BLUEPRINTS)
        raise Invalid(f"There is no service '{name}' for MATENGINE_SERVICES.", hint)
    return [name for name in BLUEPRINTS if name in named or not named]


def _listed(variable: str) -> list[str]:
    return [item.strip() for item in os.environ.get(variable, "").split(",") if item.strip()]
