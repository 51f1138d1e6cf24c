"""Tables for Neuroglancer: segment properties, and precomputed annotation sources.

A source is at `…/table/NAME/precomputed`, as the table is now or in a version.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.auth import current_user
from matengine.api.description import BINARY, gives
from matengine.api.materialize.paths import (
    DATASTACK,
    PREFIX,
    TABLE,
    VERSION,
    LiveTablePath,
    TablePath,
    find_version,
    open_for_viewing,
)
from matengine.api.materialize.views import ViewPath
from matengine.api.wire import reply
from matengine.engine.export.neuroglancer import levels, segments
from matengine.engine.export.neuroglancer.source import Source, open_source
from matengine.engine.query.model import At
from matengine.errors import NotFound
from matengine.times import now

NOW = f"{DATASTACK}/table/<string:table>"
TAG = Tag(name="neuroglancer", description="Tables for Neuroglancer")

api = APIBlueprint("materialize_neuroglancer", __name__, url_prefix=PREFIX, abp_tags=[TAG])


class Labels(BaseModel):
    """What segments are called: `label_columns` (names, by comma), or text with {column} in it."""

    label_columns: str = ""
    label_format: str | None = None


class NowFile(LiveTablePath):
    """A file of a source as the table is now."""

    key: str


class VersionFile(TablePath):
    """A file of a source as the table is in a version."""

    key: str


@api.get(f"{TABLE}/info", summary="Segment properties out of a table in a version")
def segments_of_version(path: TablePath, query: Labels) -> Response:
    return _segments(path.datastack, path.version, path.table, query)


@api.get(f"{NOW}/info", summary="Segment properties out of a table as it is now")
def segments_of_now(path: LiveTablePath, query: Labels) -> Response:
    return _segments(path.datastack, "0", path.table, query)


@api.get(f"{VERSION}/view/<string:view>/info", summary="Segment properties out of a view")
def segments_of_view(path: ViewPath, query: Labels) -> Response:
    return _segments(path.datastack, path.version, path.view, query)


@api.get(f"{NOW}/precomputed/info", summary="A table as an annotation source: its info")
def info_of_now(path: LiveTablePath) -> Response:
    with _source(path.datastack, "0", path.table) as source:
        return reply(source.info())


@api.get(f"{TABLE}/precomputed/info", summary="A table in a version as a source: its info")
def info_of_version(path: TablePath) -> Response:
    with _source(path.datastack, path.version, path.table) as source:
        return reply(source.info())


@api.get(
    f"{NOW}/precomputed/<path:key>",
    summary="Annotations, as they are now",
    responses=gives(BINARY),
)
def file_of_now(path: NowFile) -> Response:
    """key: by_id/ID, COLUMN/SEGMENT, or LEVEL/X_Y_Z, as info says."""
    with _source(path.datastack, "0", path.table) as source:
        return _binary(_file(source, path.key))


@api.get(
    f"{TABLE}/precomputed/<path:key>",
    summary="Annotations of a version",
    responses=gives(BINARY, others=(206, 304)),
)
def file_of_version(path: VersionFile) -> Response:
    """key: by_id/ID, COLUMN/SEGMENT, or LEVEL/X_Y_Z, as info says."""
    with _source(path.datastack, path.version, path.table) as source:
        answer = _binary(_file(source, path.key))
    answer.add_etag()
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.make_conditional(request)
    return answer


def _segments(datastack: str, version: str, name: str, labels_: Labels) -> Response:
    with open_for_viewing(datastack) as (conn, _):
        found = find_version(conn, datastack, version)
        told = segments.properties(
            conn,
            datastack,
            now() if found is None else found.version,
            name,
            current_user(),
            label_columns=[c.strip() for c in labels_.label_columns.split(",") if c.strip()],
            label_format=labels_.label_format,
        )
    return reply(told)


@contextmanager
def _source(datastack: str, version: str, table: str) -> Iterator[Source]:
    with open_for_viewing(datastack) as (conn, _):
        found = find_version(conn, datastack, version)
        at: At = now() if found is None else found.version
        yield open_source(conn, datastack, at, table, current_user())


def _file(source: Source, key: str) -> bytes:
    folder, _, name = key.rpartition("/")
    if folder == "by_id":
        return source.by_id(_number(name))
    if folder in source.shape.relationships:
        return source.by_relationship(folder, _number(name))
    level = levels.parse(folder)
    places = name.split("_")
    if len(places) != 3:
        raise NotFound(f"'{name}' is no cell.", "Name it X_Y_Z.")
    x, y, z = map(_number, places)
    return source.by_cell(level, (x, y, z))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise NotFound(f"There is no '{text}' here.")
    return int(text)


def _binary(content: bytes) -> Response:
    return Response(content, content_type=BINARY)
