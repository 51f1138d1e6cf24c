"""The schema service: annotation schemas as JSON schemas, in the dialect that caveclient reads."""

from functools import cache

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.wire import reply
from matengine.engine import schemas
from matengine.errors import Invalid

api = APIBlueprint(
    "schema",
    __name__,
    url_prefix="/schema",
    abp_tags=[Tag(name="schema", description="What an annotation of each kind holds")],
)


class Named(BaseModel):
    """The name of a schema."""

    schema_type: str


class Several(BaseModel):
    """Names of schemas, separated by commas."""

    schema_names: str | None = None


@api.get("/versions", summary="The versions of this interface")
def interface_versions() -> Response:
    return reply([1, 2])


# without /api/v2 in clients of version 1
@api.get("/type", summary="The names of all schemas")
@api.get("/api/v2/type", summary="The names of all schemas")
def names() -> Response:
    return reply(schemas.names())


@api.get("/type/<string:schema_type>", summary="One schema")
@api.get("/api/v2/type/<string:schema_type>", summary="One schema")
def one(path: Named) -> Response:
    return reply(schemas.json_schema(schemas.get(path.schema_type)))


@api.get("/api/v2/types", summary="Several schemas, by name")
@api.post("/api/v2/types", summary="Several schemas, by name")
def several(query: Several) -> Response:
    wanted = [name.strip() for name in (query.schema_names or "").split(",") if name.strip()]
    if not wanted:
        raise Invalid("No schema is named.", "Add ?schema_names=synapse,bound_tag.")
    return reply({name: schemas.json_schema(schemas.get(name)) for name in wanted})


@api.get("/api/v2/types_all", summary="All schemas, by name")
def every() -> Response:
    return Response(_every(), content_type="application/json")


@cache
def _every() -> bytes:
    return reply({n: schemas.json_schema(schemas.get(n)) for n in schemas.names()}).get_data()
