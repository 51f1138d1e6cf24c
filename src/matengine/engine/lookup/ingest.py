"""Looking up new rows as soon as they are in, before an epoch wants them."""

from collections.abc import Sequence

import numpy as np

from matengine.engine import datastacks
from matengine.engine.runs import runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import MAX_ATTEMPTS, Effect, Unit
from matengine.engine.versions import collect, layout, resolve
from matengine.storage.connections import Connection


def start(conn: Connection, datastack: str, only: Sequence[str] = ()) -> int:
    """Begin to look up the supervoxels of rows that are new; gives the run. Commits.

    Of some or all annotation tables. Raises NotFound for an unknown one.
    """
    with conn.transaction():
        segmentation = datastacks.get(conn, datastack).segmentation.name
        for table in only:
            layout.layout_of(conn, table, segmentation)
        run_id = runs.enter(conn, datastack, "ingest", only=list(only))
    conn.commit()
    return run_id


def ready(conn: Connection, run: Run) -> bool:
    """At once: what commits later is looked up later."""
    return True


def plan_lookup(conn: Connection, run: Run) -> None:
    """Units for the runs of inserts that no epoch has taken up."""
    only = run.parameters.get("only")
    for table in layout.of_run(conn, run):
        if not table.supervoxels or (only and table.table not in only):
            continue
        layout.create(conn, table)
        inserted = conn.execute(
            "SELECT first_id, last_id FROM matengine.change WHERE datastack = %s"
            " AND table_name = %s AND kind = 'insert' AND epoch IS NULL ORDER BY first_id",
            (run.datastack, table.table),
        ).fetchall()
        statements = collect.Statements(table, run)
        for first, last in _blocks(inserted):
            ranges = conn.execute(statements.fresh_ranges(first, last)).fetchall()
            units.plan(conn, run.run_id, "lookup", table.table, ranges)


def _blocks(inserted: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring short runs together, up to BLOCK ids; a long run alone."""
    blocks: list[tuple[int, int]] = []
    for first, last in inserted:
        if blocks and last - blocks[-1][0] < collect.BLOCK:
            blocks[-1] = (blocks[-1][0], max(last, blocks[-1][1]))
        else:
            blocks.append((first, last))
    return blocks


def look_up(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a unit: supervoxels of rows that have none, kept for the epoch to come."""
    table = layout.of_unit(conn, run, unit)
    segmentation = datastacks.get(conn, run.datastack).segmentation
    rows = resolve.read(
        conn, table, run, unit, segmentation, last_try=unit.attempts >= MAX_ATTEMPTS
    )
    known = np.all(rows.known, axis=0)
    rows.ids = rows.ids[known]
    rows.supervoxels = [ids[known] for ids in rows.supervoxels]
    rows.known = [mask[known] for mask in rows.known]
    conn.commit()
    units.hold(conn, unit)
    resolve.keep(conn, table, rows)
    units.finish(conn, unit, Effect())
    conn.commit()
