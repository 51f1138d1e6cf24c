"""Rows of a live annotation table: they come, are superseded or deleted, and never change.

All times are the server's, read once a call after this transaction became a writer that epochs
wait for, so that an epoch of a later time has seen the rows. Every function works in the caller's
transaction: all or nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row

from matengine.engine import schemas
from matengine.engine.annotations import ids, layout, tables
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.schemas import Kind
from matengine.errors import Conflict, Invalid, NotFound, Unprocessable
from matengine.storage import writers
from matengine.storage.atomic import atomic
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

Nested = Mapping[str, Any]
Flat = dict[str, Any]
_SHOWN = 5


def insert(
    conn: Connection, table: str, rows: Sequence[Nested], *, user: int | None = None
) -> list[int]:
    """Add annotations in the client's nested form; returns their ids, in order.

    A row may bring its `id`; the others get one. Positions are voxels of the table's resolution.
    `user` fills a user id that a row does not give. Raises Invalid for rows that the schema
    refuses and for unknown reference targets, Conflict for ids that exist, NotFound, Gone.
    """
    metadata = tables.get_open(conn, table)
    flat = _flat(metadata, rows, user)
    given = [row.get("id") for row in rows]
    known = ids.check([i for i in given if i is not None])
    with atomic(conn):
        ids.refuse_taken(conn, table, known)
        ids.advance(conn, table, max(known, default=0))
        new = iter(ids.take(conn, table, len(rows) - len(known)).tolist())
        settled = [next(new) if i is None else int(i) for i in given]
        _add(conn, metadata, flat, settled, moment(conn))
    return settled


def update(
    conn: Connection, table: str, rows: Sequence[Nested], *, user: int | None = None
) -> dict[int, int]:
    """Supersede annotations: each row names an `id` and what is to be different.

    The new rows take over what a row does not mention (a point counts as one value). Old rows end
    at the very time at which new ones begin. Returns {old id: new id}. Raises Invalid, NotFound
    for unknown ids, Conflict for a row that was superseded (naming the newest id) or deleted.
    """
    metadata = tables.get_open(conn, table)
    old = ids.check([row.get("id") for row in rows])
    with atomic(conn):
        before = {row["id"]: row for row in _locked(conn, metadata, old)}
        _refuse_ended(conn, table, old, before)
        schema = schemas.get(metadata.schema_type)
        merged = [_merge(schema, before[i], row) for i, row in zip(old, rows, strict=True)]
        flat = _flat(metadata, merged, user)
        new = ids.take(conn, table, len(old)).tolist()
        now = moment(conn)
        _add(conn, metadata, flat, new, now)
        conn.execute(
            sql.SQL(
                "UPDATE {} SET deleted = %s, superceded_id = pair.new, valid = false"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS pair(old, new) WHERE id = pair.old"
            ).format(sql.Identifier("public", table)),
            (now, old, new),
        )
    return dict(zip(old, new, strict=True))


def delete(conn: Connection, table: str, annotation_ids: Sequence[int]) -> list[int]:
    """End annotations; returns the ids that this call ended, sorted.

    Rows that ended before keep their time. Raises NotFound where the table has none of the ids.
    """
    tables.get_open(conn, table)
    wanted = ids.check(annotation_ids, repeated=True)
    with atomic(conn):
        locked = conn.execute(
            sql.SQL(
                "SELECT id, deleted FROM {} WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
            ).format(sql.Identifier("public", table)),
            (wanted,),
        ).fetchall()
        if wanted and not locked:
            raise NotFound(f"The table '{table}' has no row of id {ids.named(wanted)}.")
        ending = [i for i, deleted in locked if deleted is None]
        conn.execute(
            sql.SQL("UPDATE {} SET deleted = %s, valid = false WHERE id = ANY(%s)").format(
                sql.Identifier("public", table)
            ),
            (moment(conn), ending),
        )
    return ending


def get(conn: Connection, table: str, annotation_ids: Sequence[int]) -> list[Flat]:
    """The rows of these ids, ended ones too, in the order asked; unknown ids are left out.

    A row is flat: id, created, deleted, superceded_id, valid, the schema's columns; a point is a
    list of x, y, z in voxels of the table's resolution.
    """
    metadata = tables.get_metadata(conn, table)
    wanted = ids.check(annotation_ids, repeated=True)
    found = {row["id"]: row for row in _read(conn, metadata, wanted, sql.SQL(""))}
    return [found[i] for i in wanted if i in found]


def count(conn: Connection, table: str, *, ended: bool = False) -> int:
    """How many annotations the table has; with `ended` also superseded and deleted ones."""
    tables.get_metadata(conn, table)
    row = conn.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE deleted IS NULL OR %s").format(
            sql.Identifier("public", table)
        ),
        (ended,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def moment(conn: Connection) -> datetime:
    """The time of a write: the server's, once epochs wait for this transaction."""
    writers.enter(conn)
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    time: datetime = row[0]
    return time


def refuse_missing_targets(conn: Connection, reference_table: str, targets: Sequence[int]) -> None:
    """Raise Invalid where the reference table has not all of these ids."""
    missing = set(targets) - set(ids.taken(conn, reference_table, list(set(targets))))
    if missing:
        raise Unprocessable(
            f"The reference table '{reference_table}' has no row of id {ids.named(list(missing))}."
        )


def _flat(metadata: TableMetadata, rows: Sequence[Nested], user: int | None) -> list[Flat]:
    """The rows checked and flattened; raises Invalid naming the first rows at fault."""
    schema = schemas.get(metadata.schema_type)
    users = [field.name for field in schema.fields if field.kind is Kind.USER]
    flat, faults = [], []
    for number, row in enumerate(rows, 1):
        try:
            checked = schemas.validate_row(schema, row)
        except Invalid as fault:
            faults.append(f"Row {number}: {fault.message}")
            continue
        for name in users:
            checked[name] = user if checked[name] is None else checked[name]
        flat.append(checked)
    if faults:
        more = [f"… and {len(faults) - _SHOWN} more rows."] if len(faults) > _SHOWN else []
        raise Unprocessable("\n".join(faults[:_SHOWN] + more))
    return flat


def _add(
    conn: Connection,
    metadata: TableMetadata,
    flat: Sequence[Flat],
    new: Sequence[int],
    created: datetime,
) -> None:
    columns = layout.fields(metadata.schema_type)
    target = layout.target_column(columns)
    if target and metadata.reference_table:
        given = [row[target] for row in flat if row[target] is not None]
        refuse_missing_targets(conn, metadata.reference_table, given)
    table = pa.table(
        {
            "id": pa.array(new, layout.SYSTEM["id"]),
            "created": pa.array([created] * len(new), layout.SYSTEM["created"]),
            "valid": pa.array([True] * len(new), layout.SYSTEM["valid"]),
        }
        | {c.name: pa.array([r[c.name] for r in flat], layout.arrow_type(c)) for c in columns}
    )
    try:
        with atomic(conn):
            copy_columns(conn, ("public", metadata.name), table)
    except pg.UniqueViolation:
        # another transaction took the id after we looked
        ids.refuse_taken(conn, metadata.name, new)
        raise


def _read(
    conn: Connection, metadata: TableMetadata, wanted: Sequence[int], ending: sql.Composable
) -> list[Flat]:
    columns = layout.fields(metadata.schema_type)
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            sql.SQL("SELECT {} FROM {} WHERE id = ANY(%s) ORDER BY id {}").format(
                layout.select_list(columns), sql.Identifier("public", metadata.name), ending
            ),
            (list(wanted),),
        ).fetchall()


def _locked(conn: Connection, metadata: TableMetadata, wanted: Sequence[int]) -> list[Flat]:
    # in the order of ids, so that two updates cannot wait for each other
    return _read(conn, metadata, wanted, sql.SQL("FOR NO KEY UPDATE"))


def _refuse_ended(
    conn: Connection, table: str, wanted: Sequence[int], before: Mapping[int, Flat]
) -> None:
    unknown = [i for i in wanted if i not in before]
    if unknown:
        raise NotFound(f"The table '{table}' has no row of id {ids.named(unknown)}.")
    for i in wanted:
        if before[i]["superceded_id"] is not None:
            raise Conflict(
                f"The annotation {i} was superseded; its newest id is {_newest(conn, table, i)}."
            )
        if before[i]["deleted"] is not None:
            raise Conflict(f"The annotation {i} was deleted at {before[i]['deleted'].isoformat()}.")


def _newest(conn: Connection, table: str, start: int) -> int:
    """The end of the chain of rows that superseded each other."""
    row = conn.execute(
        sql.SQL(
            "WITH RECURSIVE chain AS (SELECT id, superceded_id FROM {t} WHERE id = %s"
            " UNION SELECT t.id, t.superceded_id FROM {t} t"
            " JOIN chain ON t.id = chain.superceded_id)"
            " SELECT id FROM chain WHERE superceded_id IS NULL"
        ).format(t=sql.Identifier("public", table)),
        (start,),
    ).fetchone()
    return start if row is None else int(row[0])


def _merge(schema: schemas.Schema, before: Flat, row: Nested) -> Flat:
    """The old row in nested form with the new row's fields in place of its own."""
    merged: Flat = {}
    for field in schema.fields:
        if field.name in row:
            merged[field.name] = row[field.name]
        elif field.kind is Kind.USER:
            merged[field.name] = None  # who writes the new row
        elif field.kind.is_point:
            parts = {p.name: before.get(schemas.flat_name(field.name, p.name)) for p in field.parts}
            given = {name: value for name, value in parts.items() if value is not None}
            merged[field.name] = given or None
        else:
            merged[field.name] = before.get(field.name)
    return merged
