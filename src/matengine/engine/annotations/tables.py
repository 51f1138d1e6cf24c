"""Annotation tables and their metadata, as the CAVE annotation service keeps them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row

from matengine.engine import schemas
from matengine.engine.annotations import changes, indexes, layout
from matengine.errors import Conflict, Gone, Invalid, NotFound, did_you_mean
from matengine.storage.atomic import atomic
from matengine.storage.connections import Connection
from matengine.storage.names import check_name

PUBLIC = "PUBLIC"
PERMISSIONS = ("PRIVATE", "GROUP", PUBLIC)
# what an owner may change later; the rest decides what the rows mean
CHANGEABLE = (
    "description",
    "user_id",
    "read_permission",
    "write_permission",
    "notice_text",
    "flat_segmentation_source",
)

_SELECT = """
SELECT table_name AS name, schema_type, description,
  ARRAY[voxel_resolution_x, voxel_resolution_y, voxel_resolution_z] AS voxel_resolution_nm,
  user_id, read_permission, write_permission, notice_text, reference_table,
  flat_segmentation_source, valid, created, deleted, last_modified, id
FROM public.annotation_table_metadata
"""


@dataclass(frozen=True)
class TableMetadata:
    """What is known of an annotation table. `deleted` is set once it was deleted."""

    name: str
    schema_type: str
    description: str
    voxel_resolution_nm: tuple[
        float, float, float
    ]  # of one voxel of the table's positions: x, y, z
    user_id: str  # the owner
    read_permission: str
    write_permission: str
    notice_text: str | None
    reference_table: str | None
    flat_segmentation_source: str | None
    valid: bool | None
    created: datetime
    deleted: datetime | None
    last_modified: datetime
    id: int


def create_table(
    conn: Connection,
    name: str,
    schema_type: str,
    *,
    voxel_resolution_nm: Sequence[float],
    description: str,
    user_id: str = "",
    read_permission: str = "PUBLIC",
    write_permission: str = "PRIVATE",
    notice_text: str | None = None,
    reference_table: str | None = None,
    flat_segmentation_source: str | None = None,
) -> TableMetadata:
    """Make an empty annotation table with its indexes; its changes are recorded from the start.

    Raises Conflict where the name is taken, NotFound for an unknown schema or reference table,
    Invalid for a bad name, resolution or permission, or a reference table that does not fit.
    """
    check_name(name, "an annotation table")
    columns = layout.fields(schema_type)
    resolution = _resolution(voxel_resolution_nm)
    _permissions(read_permission, write_permission)
    _check_reference(conn, name, schema_type, reference_table)
    try:
        with atomic(conn):
            conn.execute(layout.table_ddl(name, columns, reference_table))
            indexes.create(conn, name, columns)
            conn.execute(
                "INSERT INTO public.annotation_table_metadata (schema_type, table_name, valid,"
                " voxel_resolution_x, voxel_resolution_y, voxel_resolution_z, user_id, description,"
                " notice_text, reference_table, flat_segmentation_source, write_permission,"
                " read_permission) VALUES (%s, %s, true, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    schema_type,
                    name,
                    *resolution,
                    user_id,
                    description,
                    _notice(notice_text),
                    reference_table,
                    flat_segmentation_source,
                    write_permission,
                    read_permission,
                ),
            )
            changes.watch(conn, name)
    except (pg.DuplicateTable, pg.DuplicateObject, pg.UniqueViolation):
        raise _taken(conn, name) from None
    return get_metadata(conn, name)


def get_metadata(conn: Connection, name: str) -> TableMetadata:
    """The metadata of a table, also of a deleted one; raises NotFound.

    The error names no table but such as anybody may read: nobody knows here who asks.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_SELECT + "WHERE table_name = %s", (name,)).fetchone()
    if found is None:
        raise NotFound(
            f"There is no annotation table '{name}'.",
            did_you_mean(name, list_tables(conn, permission=PUBLIC)),
        )
    return TableMetadata(**found | {"voxel_resolution_nm": tuple(found["voxel_resolution_nm"])})


def get_open(conn: Connection, name: str) -> TableMetadata:
    """The metadata of a table that takes rows; raises NotFound, or Gone where it was deleted."""
    found = get_metadata(conn, name)
    if found.deleted is not None:
        raise Gone(f"The annotation table '{name}' was deleted at {found.deleted:%Y-%m-%d %H:%M}.")
    return found


def list_tables(
    conn: Connection, *, deleted: bool = False, permission: str | None = None
) -> list[str]:
    """The names of the annotation tables, sorted; with `deleted` also of deleted ones.

    permission: only those of this permission to read.
    """
    rows = conn.execute(
        "SELECT table_name FROM public.annotation_table_metadata"
        " WHERE (deleted IS NULL OR %s) AND read_permission = coalesce(%s, read_permission)"
        " ORDER BY 1",
        (deleted, permission),
    )
    return [name for (name,) in rows]


def update_metadata(conn: Connection, name: str, **changed: str | None) -> TableMetadata:
    """Change some of `CHANGEABLE`; raises Invalid for anything else, NotFound, Gone."""
    get_open(conn, name)
    for key in changed:
        if key not in CHANGEABLE:
            raise Invalid(
                f"'{key}' of an annotation table cannot be changed.", did_you_mean(key, CHANGEABLE)
            )
        if changed[key] is None and key not in ("notice_text", "flat_segmentation_source"):
            raise Invalid(f"'{key}' of an annotation table must be text.")
    _permissions(*(changed[key] for key in changed if key.endswith("_permission")))
    if "notice_text" in changed:
        changed["notice_text"] = _notice(changed["notice_text"])
    for key, value in changed.items():
        conn.execute(
            sql.SQL(
                "UPDATE public.annotation_table_metadata"
                " SET {} = %s, last_modified = clock_timestamp() WHERE table_name = %s"
            ).format(sql.Identifier(key)),
            (value, name),
        )
    return get_metadata(conn, name)


def delete_table(conn: Connection, name: str) -> TableMetadata:
    """Mark a table as deleted: no row comes or goes any more, versions keep what they show.

    Its name stays taken. Raises NotFound, or Gone where it was deleted before.
    """
    get_open(conn, name)
    conn.execute(
        "UPDATE public.annotation_table_metadata SET valid = false, deleted = clock_timestamp(),"
        " last_modified = clock_timestamp() WHERE table_name = %s",
        (name,),
    )
    return get_metadata(conn, name)


def _resolution(given: Sequence[float]) -> tuple[float, float, float]:
    try:
        x, y, z = (float(number) for number in given)
    except (TypeError, ValueError):
        raise Invalid("A voxel resolution is three numbers in nm: x, y, z.") from None
    if not all(math.isfinite(number) and number > 0 for number in (x, y, z)):
        raise Invalid(f"A voxel resolution must be above zero nm, not {x:g}, {y:g}, {z:g}.")
    return x, y, z


def _permissions(*given: str | None) -> None:
    for permission in given:
        if permission not in PERMISSIONS:
            raise Invalid(f"'{permission}' is no permission.", f"Use {', '.join(PERMISSIONS)}.")


def _notice(text: str | None) -> str | None:
    """The notice, or None where clients write that there is none."""
    return None if text is None or text.strip().lower() in ("", "none") else text


def _check_reference(
    conn: Connection, name: str, schema_type: str, reference_table: str | None
) -> None:
    is_reference = schemas.get(schema_type).is_reference
    if not reference_table:
        if is_reference:
            raise Invalid(
                f"Rows of the schema '{schema_type}' are about rows of another table.",
                "Name that table as reference_table.",
            )
        return
    if not is_reference:
        raise Invalid(f"The schema '{schema_type}' has no target_id, so no reference_table.")
    if reference_table == name:
        raise Invalid("A table cannot be its own reference table.")
    get_open(conn, reference_table)


def _taken(conn: Connection, name: str) -> Conflict:
    if name in list_tables(conn):
        return Conflict(f"The annotation table '{name}' exists already.")
    if name in list_tables(conn, deleted=True):
        return Conflict(f"The name '{name}' belongs to a deleted table, which versions may show.")
    return Conflict(f"The name '{name}' is taken in the database by something else.")
