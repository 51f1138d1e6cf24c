"""The annotation tables of a version: which there are, what is known of them, how many rows.

A table that the user may not read is left out of lists.
"""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from matengine.api.auth import current_user
from matengine.api.materialize.headers import warn
from matengine.api.materialize.paths import (
    DATASTACK,
    PREFIX,
    TABLE,
    TAG,
    VERSION,
    LiveTablePath,
    TablePath,
    VersionPath,
    find_version,
    open_for_viewing,
    wire_time,
)
from matengine.api.wire import reply
from matengine.engine import access, schemas
from matengine.engine.annotations import rows, tables
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.datastacks import Datastack
from matengine.engine.query.unique import MOST_VALUES, unique_strings
from matengine.engine.versions import catalogue
from matengine.engine.versions.metadata import VersionMetadata
from matengine.storage.connections import Connection

api = APIBlueprint("materialize_tables", __name__, url_prefix=PREFIX, abp_tags=[TAG])


@api.get(f"{VERSION}/tables", summary="The names of the tables")
def list_tables(path: VersionPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        return reply([t.name for t in _readable(conn, path)])


@api.get(f"{VERSION}/tables/metadata", summary="What is known of all tables")
def list_metadata(path: VersionPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, datastack):
        return reply([_wire(conn, datastack, t) for t in _readable(conn, path)])


@api.get(f"{TABLE}/metadata", summary="What is known of one table")
def get_metadata(path: TablePath) -> Response:
    """As of the version, but permissions and notice are those of now."""
    with open_for_viewing(path.datastack) as (conn, datastack):
        table = _table(conn, path)
        answer = reply(_wire(conn, datastack, table))
    if table.notice_text:
        warn(answer, table.notice_text)
    return answer


@api.get(f"{TABLE}/count", summary="How many rows a table has")
def get_count(path: TablePath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        table = _table(conn, path)
        if isinstance(table, VersionMetadata):
            return reply(table.row_count)
        return reply(rows.count(conn, table.name))


@api.get(
    f"{DATASTACK}/table/<string:table>/unique_string_values",
    summary="The values of the text columns of a table, now",
)
def get_unique_strings(path: LiveTablePath) -> Response:
    """Sorted, without NULL. Of a column with very many values the first ones, with a `Warning`."""
    with open_for_viewing(path.datastack) as (conn, _):
        table = tables.get_open(conn, path.table)
        access.check_read(current_user(), table)
        found = unique_strings(conn, table)
    answer = reply({column: values[:MOST_VALUES] for column, values in found.items()})
    for column, values in found.items():
        if len(values) > MOST_VALUES:
            warn(answer, f"'{column}' has more than {MOST_VALUES} values; these are the first.")
    return answer


def _readable(conn: Connection, path: VersionPath) -> list[TableMetadata]:
    """The tables of the version that the user may read."""
    version = find_version(conn, path.datastack, path.version)
    found: list[TableMetadata] = (
        [tables.get_metadata(conn, name) for name in tables.list_tables(conn)]
        if version is None
        else [*catalogue.tables_metadata(conn, path.datastack, version.version)]
    )
    user = current_user()
    # owners of now decide, not those of the version
    return [t for t in found if access.may_read(user, tables.get_metadata(conn, t.name))]


def _table(conn: Connection, path: TablePath) -> TableMetadata:
    """A table of the version; raises NotFound, Gone, or Forbidden where it may not be read."""
    version = find_version(conn, path.datastack, path.version)
    found = (
        tables.get_open(conn, path.table)
        if version is None
        else catalogue.table_metadata(conn, path.datastack, version.version, path.table)
    )
    _check_read(conn, found)
    return found


def _check_read(conn: Connection, table: TableMetadata) -> None:
    """Its owner of now decides, not the one of the version."""
    access.check_read(current_user(), tables.get_metadata(conn, table.name))


def _wire(conn: Connection, datastack: Datastack, table: TableMetadata) -> dict[str, Any]:
    """What CAVE's clients read of a table; `last_updated` is the time of its roots."""
    x, y, z = table.voxel_resolution_nm
    told = {
        "id": table.id,
        "aligned_volume": conn.info.dbname,
        "schema": table.schema_type,
        "schema_type": table.schema_type,
        "table_name": table.name,
        "valid": table.valid is not False,
        "created": wire_time(table.created),
        "last_modified": wire_time(table.last_modified),
        "user_id": table.user_id,
        "description": table.description,
        "notice_text": table.notice_text,
        "reference_table": table.reference_table,
        "flat_segmentation_source": table.flat_segmentation_source,
        "voxel_resolution_x": x,
        "voxel_resolution_y": y,
        "voxel_resolution_z": z,
        "write_permission": table.write_permission,
        "read_permission": table.read_permission,
    }
    if schemas.get(table.schema_type).needs_segmentation:
        told |= {
            "segmentation_source": None,
            "pcg_table_name": datastack.segmentation.name,
            "last_updated": wire_time(table.time if isinstance(table, VersionMetadata) else None),
        }
    return told
