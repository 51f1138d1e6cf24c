"""Rows of an annotation table: read, insert, supersede, delete.

A batch is stored whole or not at all. Its size is bounded by the bytes of a request only.
"""

from datetime import datetime
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel

from matengine.api.annotation import lookups
from matengine.api.annotation.paths import (
    PREFIX,
    TAG,
    OfTable,
    field,
    noticed,
    reading,
    takes_object,
    writing,
)
from matengine.api.auth import current_user
from matengine.api.wire import reply
from matengine.engine.annotations import layout, rows
from matengine.errors import Invalid

api = APIBlueprint("annotation_rows", __name__, url_prefix=PREFIX, abp_tags=[TAG])
_PATH = "/<string:table>/annotations"
_ROWS = takes_object("Annotations", annotations={"type": "array", "items": {"type": "object"}})
_IDS = takes_object("Ids", annotation_ids={"type": "array", "items": {"type": "integer"}})


class Ids(BaseModel):
    """Ids of annotations, separated by commas."""

    annotation_ids: str


@api.get(_PATH, summary="Annotations by id, also those that ended")
def read(path: OfTable, query: Ids) -> Response:
    """Unknown ids are left out. `deleted` of a row that lives is the text "None"."""
    wanted = [_id(text) for text in query.annotation_ids.split(",") if text.strip()]
    with reading(path) as (conn, metadata):
        found = rows.get(conn, path.table, wanted)
        points = [c.name for c in layout.fields(metadata.schema_type) if layout.is_point(c)]
        return noticed(reply([_told(row, points) for row in found]), metadata)


@api.post(
    _PATH, summary="Insert annotations; the answer is their ids, in order", openapi_extensions=_ROWS
)
def insert(path: OfTable) -> Response:
    """The body: {"annotations": [{"pt": {"position": [x, y, z]}, …}, …]}."""
    given = _listed("annotations")
    with writing(path) as (conn, metadata):
        ids = rows.insert(conn, path.table, given, user=current_user().user_id)
    lookups.follow(path.aligned_volume, path.table, ids)
    return noticed(reply(ids), metadata)


@api.put(
    _PATH,
    summary="Supersede annotations; the answer tells the new id of each",
    openapi_extensions=_ROWS,
)
def update(path: OfTable) -> Response:
    """The body: {"annotations": [{"id": 1, what is to be different}, …]}."""
    given = _listed("annotations")
    with writing(path) as (conn, metadata):
        new = rows.update(conn, path.table, given, user=current_user().user_id)
    lookups.follow(path.aligned_volume, path.table, list(new.values()))
    return noticed(reply(new), metadata)


@api.delete(
    _PATH,
    summary="End annotations; the answer is the ids of those that this ended",
    openapi_extensions=_IDS,
)
def delete(path: OfTable) -> Response:
    """The body: {"annotation_ids": [1, 2]}."""
    given = _listed("annotation_ids")
    with writing(path) as (conn, metadata):
        ended = rows.delete(conn, path.table, given)
    return noticed(reply(ended), metadata)


def _listed(name: str) -> list[Any]:
    given = field(name)
    if not isinstance(given, list):
        raise Invalid(f"'{name}' must be a list.")
    if name == "annotations" and not all(isinstance(row, dict) for row in given):
        raise Invalid("Each annotation must be an object.")
    return given


def _id(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"'{text.strip()}' is no id.", "Write ?annotation_ids=1,2,3.") from None


def _told(row: dict[str, Any], points: list[str]) -> dict[str, Any]:
    told = dict(row)
    told["created"] = _time(row["created"])
    # the word None, because clients know no other form
    told["deleted"] = "None" if row["deleted"] is None else _time(row["deleted"])
    for name in points:
        if row[name] is not None:
            told[name] = [int(x) if x.is_integer() else x for x in row[name]]
    return told


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")
