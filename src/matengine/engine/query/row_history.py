"""The history of one row: the life of the annotation, and what each epoch showed of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from matengine.engine import datastacks
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.errors import NotFound
from matengine.storage.connections import Connection

# An annotation ends at the time at which the one that supersedes it begins. Programs other than
# ours read the clock twice for that.
_TOGETHER = timedelta(minutes=1)


@dataclass(frozen=True)
class Life:
    """An annotation of the live table. `next` is the id of the one that superseded it."""

    id: int
    created: datetime
    deleted: datetime | None
    next: int | None


@dataclass(frozen=True)
class RowVersion:
    """What epochs from `from_epoch` on showed, until `to_epoch` (None: to the newest).

    `versions` are those available that show it. `ids` holds each supervoxel and root column;
    None is not known.
    """

    from_epoch: int
    from_time: datetime
    to_epoch: int | None
    to_time: datetime | None
    versions: tuple[int, ...]
    ids: dict[str, int | None]


@dataclass(frozen=True)
class RowHistory:
    """`chain` are the annotations that superseded each other, oldest first, this one among them.

    Empty where the live table has the row no more. `shown` is in the order of time.
    """

    table: str
    id: int
    chain: tuple[Life, ...]
    shown: tuple[RowVersion, ...]


def row_history(conn: Connection, datastack: str, table: str, row_id: int) -> RowHistory:
    """The history of a row of an annotation table; raises NotFound where there never was one."""
    segmentation = datastacks.get(conn, datastack).segmentation.name
    where = layout.layout_of(conn, table, segmentation)
    chain = _chain(conn, where, row_id)
    shown = _shown(conn, datastack, where, row_id)
    if not chain and not shown:
        raise NotFound(f"'{table}' has no row of id {row_id}, and no epoch ever showed one.")
    return RowHistory(table, row_id, chain, shown)


def _shown(conn: Connection, datastack: str, where: Layout, row_id: int) -> tuple[RowVersion, ...]:
    there = conn.execute("SELECT to_regclass(%s)", (where.history.as_string(conn),)).fetchone()
    if there is None or there[0] is None:
        return ()  # no epoch has begun with the table
    ids = [c.name for c in where.columns if c.name in where.supervoxels + where.roots]
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            sql.SQL("""
            SELECT h.from_epoch, b.time AS from_time, h.to_epoch,
                   e.time AS to_time,
                   ARRAY(SELECT v.version FROM matengine.version AS v
                         WHERE v.datastack = {datastack} AND v.status = 'AVAILABLE'
                           AND h.from_epoch <= v.epoch AND h.to_epoch > v.epoch
                           AND EXISTS (SELECT FROM matengine.epoch_table AS t
                                       WHERE t.datastack = {datastack} AND t.epoch = v.epoch
                                         AND t.table_name = {table})
                         ORDER BY v.version) AS versions {ids}
            FROM {history} AS h
            JOIN matengine.epoch AS b ON b.datastack = {datastack} AND b.epoch = h.from_epoch
              AND b.sealed IS NOT NULL
            LEFT JOIN matengine.epoch AS e ON e.datastack = {datastack} AND e.epoch = h.to_epoch
              AND e.sealed IS NOT NULL
            WHERE h.id = {id} AND h.from_epoch < h.to_epoch ORDER BY h.from_epoch
            """).format(
                datastack=sql.Literal(datastack),
                history=where.history,
                id=sql.Literal(row_id),
                table=sql.Literal(where.table),
                ids=sql.SQL("").join(
                    sql.SQL(", {}").format(sql.Identifier("h", column)) for column in ids
                ),
            )
        ).fetchall()
    return tuple(_row_version(row, ids) for row in rows)


def _row_version(row: dict[str, Any], ids: Sequence[str]) -> RowVersion:
    # an epoch that is being made may have closed it, but may yet be undone
    ended = row["to_time"] is not None
    return RowVersion(
        row["from_epoch"],
        row["from_time"],
        row["to_epoch"] if ended else None,
        row["to_time"],
        tuple(row["versions"]),
        {column: row[column] for column in ids},
    )


def _chain(conn: Connection, where: Layout, row_id: int) -> tuple[Life, ...]:
    """The annotations that the row superseded, itself, and those that superseded it."""
    own = _life(conn, where, row_id)
    if own is None:
        return ()
    chain = [own]
    while (earlier := _superseded_by(conn, where, chain[0])) and earlier not in chain:
        chain.insert(0, earlier)
    while chain[-1].next is not None:
        later = _life(conn, where, chain[-1].next)
        if later is None or later in chain:
            break
        chain.append(later)
    return tuple(chain)


def _life(conn: Connection, where: Layout, row_id: int) -> Life | None:
    row = conn.execute(
        sql.SQL("SELECT id, created, deleted, superceded_id FROM {} WHERE id = %s").format(
            where.live
        ),
        (row_id,),
    ).fetchone()
    return None if row is None else Life(*row)


def _superseded_by(conn: Connection, where: Layout, life: Life) -> Life | None:
    """The annotation that this one superseded, found by the time at which that one ended."""
    row = conn.execute(
        sql.SQL(
            "SELECT id, created, deleted, superceded_id FROM {} WHERE superceded_id = %s"
            " AND deleted BETWEEN %s AND %s ORDER BY id LIMIT 1"
        ).format(where.live),
        (life.id, life.created - _TOGETHER, life.created + _TOGETHER),
    ).fetchone()
    return None if row is None else Life(*row)
