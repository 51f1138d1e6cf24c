"""Compacting: a history is written anew in the order of its roots, while readers go on.

A unit of work, one table in one transaction (`rewrite.py`). While the run goes on it has the
datastack's lease, so that no epoch is made.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.runs import runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import layout, rewrite
from matengine.engine.versions.layout import Layout
from matengine.errors import Conflict, NotFound
from matengine.storage.connections import Connection

WORKFLOW = "compact"

# Pages that an estimate reads: 32 MB, and right to some 2 %
SAMPLE = 4096
# The part of a history's file, and bytes, from which on it is worth writing the rest once more
WORTH = 0.1
LEAST = 1 << 20


def start(conn: Connection, datastack: str, only: Sequence[str] = ()) -> int:
    """Begin to compact the histories of some or all annotation tables; gives the run. Commits.

    Raises Conflict where an epoch is being made, NotFound for an unknown table, and where there
    is no epoch yet.
    """
    with conn.transaction():
        segmentation = datastacks.lock(conn, datastack).segmentation.name
        for table in only:
            layout.layout_of(conn, table, segmentation)
        row = conn.execute(
            "SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL",
            (datastack,),
        ).fetchone()
        if row is None or row[0] is None:
            raise NotFound(
                f"'{datastack}' has nothing to compact yet.", "Begin with: matengine materialize."
            )
        try:
            with conn.transaction():
                # naming an epoch, the newest, keeps the next one from beginning
                run_id = runs.enter(conn, datastack, WORKFLOW, epoch=row[0], tables=list(only))
        except psycopg.errors.UniqueViolation:
            raise Conflict(
                f"A run is making an epoch of '{datastack}', or compacts it.",
                "Wait for it, see: matengine runs.",
            ) from None
    conn.commit()
    return run_id


def sizes(conn: Connection, datastack: str) -> dict[str, int]:
    """Bytes on disk of each history with its indexes, by annotation table."""
    segmentation = datastacks.get(conn, datastack).segmentation.name
    rows = conn.execute(
        "SELECT t, pg_total_relation_size(to_regclass(h)) FROM unnest(%s::text[], %s::text[])"
        " AS u(t, h) WHERE to_regclass(h) IS NOT NULL",
        (
            names := tables.list_tables(conn, deleted=True),
            [layout.layout_of(conn, n, segmentation).history.as_string(conn) for n in names],
        ),
    )
    return {table: int(size) for table, size in rows}


def worthwhile(conn: Connection, datastack: str) -> list[str]:
    """The annotation tables whose histories have so much to spare that compacting is worth it."""
    segmentation = datastacks.get(conn, datastack).segmentation.name
    there = sizes(conn, datastack)
    layouts = [layout.layout_of(conn, t, segmentation) for t in tables.list_tables(conn)]
    return [table.table for table in layouts if table.table in there and _is_loose(conn, table)]


def _is_loose(conn: Connection, table: Layout) -> bool:
    """Whether the rows leave so much of a history's file empty, judged by a sample of its pages."""
    row = conn.execute(
        "SELECT pg_relation_size(%s::regclass), current_setting('block_size')::integer",
        (table.history.as_string(conn),),
    ).fetchone()
    assert row is not None
    size, page = row
    if not size:
        return False
    part = min(1.0, SAMPLE * page / size)
    used = conn.execute(
        sql.SQL(
            # a row's place begins at a multiple of 8 bytes, and has a pointer of 4
            "SELECT coalesce(sum((pg_column_size(h.*) + 7) / 8 * 8 + 4), 0)"
            " FROM {} AS h TABLESAMPLE SYSTEM ({})"
        ).format(table.history, sql.Literal(100 * part))
    ).fetchone()
    assert used is not None
    spare: float = size - int(used[0]) / part / rewrite.FILLED
    return bool(spare >= max(WORTH * size, LEAST))


def ready(conn: Connection, run: Run) -> bool:
    """There is nothing to wait for."""
    return True


def plan(conn: Connection, run: Run) -> None:
    """A unit for each table."""
    wanted = set(run.parameters["tables"])
    for table in layout.of_run(conn, run):
        if not wanted or table.table in wanted:
            units.plan(conn, run.run_id, WORKFLOW, table.table)


def undo(conn: Connection, run: Run) -> None:
    """Nothing: what a unit did not finish has never been there."""


def compact(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a unit. Raises Conflict where readers never make way."""
    table = layout.of_unit(conn, run, unit)
    columns = sql.SQL(", ").join(map(sql.Identifier, rewrite.columns_of(table)))
    rows = sql.SQL("SELECT {} FROM {}").format(columns, table.history)
    rewrite.put_in_place(conn, unit, table, rewrite.write(conn, run, unit, table, rows))
    units.finish(conn, unit, Effect())
    conn.commit()
