"""The state server: Neuroglancer states and segment properties by number."""

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.auth import current_user
from matengine.api.description import takes
from matengine.api.wire import body, reply
from matengine.engine import access, states
from matengine.engine.states import PROPERTY, STATE

# clients choose what they may ask by this version of the state server
VERSION = "0.4.1"

_ANY_JSON = takes({"description": "Any JSON"})

api = APIBlueprint(
    "state",
    __name__,
    url_prefix="/nglstate",
    abp_tags=[Tag(name="state", description="States of viewers, kept by number")],
)


class Numbered(BaseModel):
    """The number of a state."""

    number: int


@api.get("/api/v1/version", summary="The version of the state server whose interface this is")
def interface_version() -> Response:
    return reply(VERSION)


@api.post("/post", summary="Keep a state; the answer is its address", openapi_extensions=_ANY_JSON)
@api.post(
    "/api/v1/post",
    summary="Keep a state; the answer is its address",
    openapi_extensions=_ANY_JSON,
)
def add() -> Response:
    return _kept(STATE, None)


@api.post(
    "/api/v1/post/<int:number>",
    summary="Keep a state under a number (administrators)",
    openapi_extensions=_ANY_JSON,
)
def add_numbered(path: Numbered) -> Response:
    access.check_admin(current_user())
    return _kept(STATE, path.number)


@api.get("/<int:number>", summary="A state, as it was sent")
@api.get("/raw/<int:number>", summary="A state, as it was sent")
@api.get("/api/v1/<int:number>", summary="A state, as it was sent")
@api.get("/api/v1/raw/<int:number>", summary="A state, as it was sent")
def one(path: Numbered) -> Response:
    return _told(STATE, path.number)


@api.post(
    "/api/v1/property/post",
    summary="Keep segment properties; the answer is their address",
    openapi_extensions=_ANY_JSON,
)
def add_property() -> Response:
    return _kept(PROPERTY, None)


@api.post(
    "/api/v1/property/post/<int:number>",
    summary="Keep segment properties under a number (administrators)",
    openapi_extensions=_ANY_JSON,
)
def add_numbered_property(path: Numbered) -> Response:
    access.check_admin(current_user())
    return _kept(PROPERTY, path.number)


@api.get("/api/v1/property/<int:number>/info", summary="Segment properties, as they were sent")
@api.get("/api/v1/property/raw/<int:number>", summary="Segment properties, as they were sent")
def one_property(path: Numbered) -> Response:
    return _told(PROPERTY, path.number)


def _kept(kind: str, number: int | None) -> Response:
    place = "property/" if kind == PROPERTY else ""
    number = states.put(kind, body(), number)
    return reply(f"{request.host_url}nglstate/api/v1/{place}{number}")


def _told(kind: str, number: int) -> Response:
    return Response(states.get(kind, number), content_type="application/json")
