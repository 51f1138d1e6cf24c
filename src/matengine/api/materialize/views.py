"""Views: which there are, what columns they have, their rows, and making and dropping them."""

from typing import Any

import pyarrow as pa
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, ConfigDict

from matengine.api.auth import current_user
from matengine.api.description import JSON, gives, takes
from matengine.api.materialize.answers import respond
from matengine.api.materialize.bodies import Arguments, TableBody, read_body
from matengine.api.materialize.headers import warn
from matengine.api.materialize.paths import (
    DATASTACK,
    PREFIX,
    TAG,
    VERSION,
    DatastackPath,
    VersionPath,
    find_version,
    open_for_viewing,
    wire_time,
)
from matengine.api.materialize.queries import ROWS, moment_of, on_axes
from matengine.api.wire import reply
from matengine.engine.query import sources
from matengine.engine.query.relation import Relation
from matengine.engine.query.views import catalogue, definition, finding, making
from matengine.engine.query.views.catalogue import View
from matengine.errors import Forbidden, NotFound
from matengine.storage.connections import Connection
from matengine.times import now

api = APIBlueprint("materialize_views", __name__, url_prefix=PREFIX, abp_tags=[TAG])

_TYPES: dict[pa.DataType, dict[str, str]] = {
    pa.int64(): {"type": "integer"},
    pa.int32(): {"type": "integer"},
    pa.float64(): {"type": "float"},
    pa.bool_(): {"type": "boolean"},
    pa.string(): {"type": "string"},
    pa.timestamp("us", "UTC"): {"type": "string", "format": "date-time"},
}


class ViewPath(VersionPath):
    """A view, asked at a version."""

    view: str


class NamedView(DatastackPath):
    """A view of a datastack."""

    view: str


class NewView(BaseModel):
    """A view to be made.

    definition: {"table", "columns": [{"name", "table"?, "column"?, "aggregate"?}], "joins":
    [[table, column, table, column]], "filters": [{"table", "column", "op", "value"}]}.
    """

    model_config = ConfigDict(extra="forbid")

    definition: dict[str, Any]
    description: str = ""
    notice_text: str | None = None


@api.get(f"{VERSION}/views", summary="The views and what is known of them")
def list_views(path: VersionPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        found = _readable(conn, path)
        return reply({view.name: _wire(view, relation) for view, relation in found})


@api.get(f"{VERSION}/views/schemas", summary="The columns of all views")
def list_schemas(path: VersionPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        return reply({view.name: _schema(relation) for view, relation in _readable(conn, path)})


@api.get(f"{VERSION}/views/<string:view>/metadata", summary="What is known of one view")
def get_metadata(path: ViewPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        view = finding.find(conn, path.datastack, path.view, current_user())
        told = _wire(view, _relation(conn, path, view)) | {"table_name": view.name}
    answer = reply(told)
    if view.notice_text:
        warn(answer, view.notice_text)
    return answer


@api.get(f"{VERSION}/views/<string:view>/schema", summary="The columns of one view")
def get_schema(path: ViewPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        view = finding.find(conn, path.datastack, path.view, current_user())
        return reply(_schema(_relation(conn, path, view)))


@api.post(
    f"{VERSION}/views/<string:view>/query",
    summary="Rows of a view",
    openapi_extensions=takes(TableBody),
    responses=ROWS,
)
def query_view(path: ViewPath, query: Arguments) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        finding.find(conn, path.datastack, path.view, current_user())
    body = read_body(TableBody)
    asked = body.question(path.view, (), query)
    return respond(path.datastack, on_axes(moment_of(path), body), asked, query)


@api.put(
    f"{DATASTACK}/views/<string:view>",
    summary="Make a view",
    openapi_extensions=takes(NewView),
    responses=gives(JSON, code=201),
)
def make_view(path: NamedView) -> Response:
    """Whoever may edit the datastack and read the tables may make a view of them."""
    body = read_body(NewView)
    with open_for_viewing(path.datastack) as (conn, _):
        view = making.make(
            conn,
            path.datastack,
            path.view,
            definition.read(body.definition),
            description=body.description,
            notice_text=body.notice_text,
            user=current_user(),
        )
        found = sources.view_at(conn, path.datastack, now(), view, current_user())
        return reply(_wire(view, found) | {"table_name": view.name}, status=201)


@api.delete(f"{DATASTACK}/views/<string:view>", summary="Drop a view")
def drop_view(path: NamedView) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        making.remove(conn, path.datastack, path.view, current_user())
        return reply(True)


def _relation(conn: Connection, path: VersionPath, view: View) -> Relation:
    version = find_version(conn, path.datastack, path.version)
    at = now() if version is None else version.version
    return sources.view_at(conn, path.datastack, at, view, current_user())


def _readable(conn: Connection, path: VersionPath) -> list[tuple[View, Relation]]:
    """The views that the version has all tables of, and the user may read."""
    found = []
    for view in catalogue.listed(conn, path.datastack):
        try:
            found.append((view, _relation(conn, path, view)))
        except (Forbidden, NotFound):
            continue
    return found


def _wire(view: View, relation: Relation) -> dict[str, Any]:
    """What CAVE's clients read of a view; every view can be asked at any time."""
    x, y, z = relation.resolution_nm or (None, None, None)
    return {
        "id": view.view_id,
        "description": view.description,
        "datastack_name": view.datastack,
        "notice_text": view.notice_text,
        "live_compatible": True,
        "voxel_resolution_x": x,
        "voxel_resolution_y": y,
        "voxel_resolution_z": z,
        "voxel_resolution": [x, y, z],
        "definition": view.definition.to_json(),
        "user_id": view.user_id,
        "created": wire_time(view.created),
    }


def _schema(relation: Relation) -> dict[str, Any]:
    """By column its type; of a position, what clients filter by boxes."""
    return {
        column.point or column.name: {"type": "SpatialPoint"}
        if column.point
        else _TYPES[column.type]
        for column in relation.columns
    }
