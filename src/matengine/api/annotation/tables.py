"""Annotation tables: list, make, describe, delete."""

from datetime import datetime
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from matengine.api.annotation.paths import (
    PREFIX,
    TAG,
    OfTable,
    OfVolume,
    field,
    lenient_json,
    noticed,
    open_volume,
    reading,
    takes_object,
)
from matengine.api.auth import current_user
from matengine.api.wire import reply
from matengine.engine import access
from matengine.engine.annotations import rows, tables
from matengine.engine.annotations.tables import CHANGEABLE, TableMetadata
from matengine.errors import Invalid

api = APIBlueprint("annotation_tables", __name__, url_prefix=PREFIX, abp_tags=[TAG])
_RESOLUTION = tuple(f"voxel_resolution_{axis}" for axis in "xyz")


@api.get("", summary="The names of the annotation tables")
def listed(path: OfVolume) -> Response:
    with open_volume(path.aligned_volume, "view") as conn:
        found = [tables.get_metadata(conn, name) for name in tables.list_tables(conn)]
        return reply([table.name for table in found if access.may_read(current_user(), table)])


_TEXT = {"type": "string", "minLength": 1, "pattern": r"^[^\x00]*$"}
_NEW = {"description": _TEXT} | {key: {"type": "number"} for key in _RESOLUTION}
_NEW_TABLE = takes_object(
    "A new table",
    table_name=_TEXT | {"pattern": "^[a-z_][a-z0-9_]*$", "maxLength": 48},
    schema_type=_TEXT,
    metadata={"type": "object", "properties": _NEW, "required": [*_NEW]},
)
_CHANGE = takes_object(
    "What is to be different", table_name=_TEXT, metadata={"type": "object", "minProperties": 1}
)


@api.post("", summary="Make an annotation table", openapi_extensions=_NEW_TABLE)
def create(path: OfVolume) -> Response:
    """The body: {"schema_type", "table_name", "metadata": {"description", "voxel_resolution_x",
    "voxel_resolution_y", "voxel_resolution_z", …}}. The answer is the table's name."""
    body = lenient_json()
    told = _object(field("metadata"))
    reference = _object(told.get("table_metadata") or {})
    if reference.get("track_target_id_updates"):
        raise Invalid(
            "References do not follow updates: an annotation never changes.",
            "Leave out track_target_id_updates, and update the references too.",
        )
    user = current_user()
    with open_volume(path.aligned_volume, "edit") as conn:
        made = tables.create_table(
            conn,
            _text(body, "table_name"),
            _text(body, "schema_type"),
            voxel_resolution_nm=[_number(told, key) for key in _RESOLUTION],
            description=_text(told, "description"),
            user_id=str(told.get("user_id") or user.user_id),
            read_permission=told.get("read_permission") or "PUBLIC",
            write_permission=told.get("write_permission") or "PRIVATE",
            notice_text=_optional(told, "notice_text"),
            reference_table=_optional(reference, "reference_table")
            or _optional(told, "reference_table"),
            flat_segmentation_source=_optional(told, "flat_segmentation_source"),
        )
    return reply(made.name)


@api.put("", summary="Change what is said of an annotation table", openapi_extensions=_CHANGE)
def change(path: OfVolume) -> Response:
    """The body: {"table_name", "metadata": what is to be different}."""
    name = _text(lenient_json(), "table_name")
    told = _object(field("metadata"))
    changed = {key: _optional(told, key) for key in told}
    with open_volume(path.aligned_volume, "edit") as conn:
        access.check_owner(current_user(), tables.get_metadata(conn, name))
        metadata = tables.update_metadata(conn, name, **changed)
    return reply({key: getattr(metadata, key) for key in CHANGEABLE} | {"table_name": name})


@api.get("/<string:table>", summary="What is known of an annotation table")
def described(path: OfTable) -> Response:
    with reading(path) as (_, metadata):
        return noticed(reply(_told(metadata)), metadata)


@api.delete("/<string:table>", summary="Delete an annotation table; versions keep what they show")
def delete(path: OfTable) -> Response:
    with open_volume(path.aligned_volume, "edit") as conn:
        access.check_owner(current_user(), tables.get_metadata(conn, path.table))
        tables.delete_table(conn, path.table)
    return reply(True)


@api.get("/<string:table>/count", summary="How many annotations the table has now")
def count(path: OfTable) -> Response:
    with reading(path) as (conn, metadata):
        return noticed(reply(rows.count(conn, path.table)), metadata)


def _told(table: TableMetadata) -> dict[str, Any]:
    return {
        "id": table.id,
        "table_name": table.name,
        "schema_type": table.schema_type,
        "valid": table.valid,
        "created": _time(table.created),
        "deleted": _time(table.deleted),
        "last_modified": _time(table.last_modified),
        "user_id": table.user_id,
        "description": table.description,
        "notice_text": table.notice_text,
        "reference_table": table.reference_table,
        "flat_segmentation_source": table.flat_segmentation_source,
        "read_permission": table.read_permission,
        "write_permission": table.write_permission,
        **dict(zip(_RESOLUTION, table.voxel_resolution_nm, strict=True)),
    }


def _time(time: datetime | None) -> str | None:
    """UTC without a zone, with microseconds, as CAVE writes times."""
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("metadata and table_metadata are objects.")
    return value


def _text(told: Any, key: str) -> str:
    value = _object(told).get(key)
    if not isinstance(value, str) or not value:
        raise Invalid(f"'{key}' must be text.")
    return _storable(key, value)


def _optional(told: dict[str, Any], key: str) -> str | None:
    """Text, or a number as text (a user's id); None where there is none."""
    value = told.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Invalid(f"'{key}' must be text.")
    return _storable(key, str(value))


def _storable(key: str, text: str) -> str:
    if "\0" in text:
        raise Invalid(f"'{key}' contains NUL, which cannot be stored.")
    return text


def _number(told: dict[str, Any], key: str) -> float:
    value = told.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"'{key}' must be a number of nm.")
    return float(value)
