"""Is the server alive, can it work, and which version is it."""

from importlib.metadata import version

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from matengine import settings
from matengine.api.wire import reply
from matengine.storage import connections

api = APIBlueprint(
    "health", __name__, abp_tags=[Tag(name="health", description="Whether the server can work")]
)


@api.get("/health/live", summary="The process answers")
def live() -> Response:
    return reply({"status": "alive"})


@api.get("/health/ready", summary="The database can be reached; 503 where it cannot")
def ready() -> Response:
    with connections.open_connection(settings.load().database_url, autocommit=True) as conn:
        conn.execute("SELECT 1")
    return reply({"status": "ready"})


@api.get("/version", summary="The version of this server")
def server_version() -> Response:
    return reply(version("matengine"))
