"""Which service this is: what clients ask before anything else."""

from importlib.metadata import version

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from matengine.api.materialize import limits
from matengine.api.materialize.paths import API, PREFIX, TAG, ApiPath
from matengine.api.wire import reply

# clients choose what they may ask by this version of CAVE's MaterializationEngine
SPOKEN = "5.26.4"

api = APIBlueprint("materialize", __name__, url_prefix=PREFIX, abp_tags=[TAG])


@api.get("/", summary="What this is")
def index() -> Response:
    return reply(
        {"service": "materialize", "version": _version(), "interface": "/openapi", "web": "/"}
    )


@api.get("/version", summary="The version of MaterializationEngine whose interface this is")
def service_version() -> Response:
    """With this server's own version behind the plus sign."""
    return reply(_version())


@api.get("/api/versions", summary="The versions of this interface")
def interface_versions() -> Response:
    return reply([2, 3])


@api.get(f"{API}/limits", summary="What this server refuses to exceed")
def get_limits(path: ApiPath) -> Response:
    """rows: the most of one answer, null without a bound; more are cut off with a cursor."""
    return reply(
        {
            "rows": limits.most_rows(),
            "answer_seconds": limits.ANSWER_S,
            "send_seconds": limits.send_timeout_s(),
        }
    )


def _version() -> str:
    return f"{SPOKEN}+matengine.{version('matengine')}"
