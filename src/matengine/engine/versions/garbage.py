"""Collecting: row versions that no kept epoch shows are removed, beside readers and writers.

An epoch is kept while it is the newest sealed one, while a version names it that has not expired,
or, without a version, while it is young: live queries start from the nearest epoch. Those that go,
`retention.let_go` says which, are marked as collected; from then on nobody reads them, so nothing
hangs on when their rows go.

What can be removed lies in the gaps between neighbouring kept epochs. Gaps that have been emptied
are written down and not looked into again.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from matengine import times
from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.versions import dropping, layout, retention, sweep
from matengine.engine.versions.gaps import forget
from matengine.engine.versions.layout import Layout
from matengine.engine.versions.retention import Epoch
from matengine.engine.versions.sweep import Gap, Removed
from matengine.errors import Conflict
from matengine.progress import Progress, quiet
from matengine.storage.connections import Connection

# How long an epoch without a version serves live queries.
LIVE_HORIZON = timedelta(days=7)

_KEPT = """
SELECT e.epoch, e.time,
  coalesce(bool_or(v.status IN ('AVAILABLE', 'RUNNING') OR v.version = ANY(%(still_read)s)), false)
    AS named,
  coalesce(bool_or(v.status = 'EXPIRED'), false) AS dropped
FROM matengine.epoch AS e LEFT JOIN matengine.version AS v USING (datastack, epoch)
WHERE e.datastack = %(datastack)s AND e.sealed IS NOT NULL AND e.collected IS NULL
GROUP BY e.epoch, e.time
"""


@dataclass(frozen=True)
class Collected:
    """`epochs` are those that were marked now; rows may be of some that were marked before."""

    epochs: list[int]
    tables: list[Removed]


def collect(
    conn: Connection,
    datastack: str,
    *,
    now: datetime | None = None,
    live_horizon: timedelta = LIVE_HORIZON,
    batch: int = sweep.BATCH,
    progress: Progress = quiet,
) -> Collected:
    """Remove what no kept epoch of a datastack shows. Commits.

    It may be interrupted at any moment: the next call goes on. `progress` counts annotations.
    Raises Conflict where a history is being written anew, and NotFound.
    """
    dropping.remove_schemas(conn, datastack)
    epochs = _mark(conn, datastack, (now or times.now()) - live_horizon)
    gaps = _gaps(conn, datastack)
    conn.commit()
    removed = []
    for table in _layouts(conn, datastack):
        try:
            removed.append(sweep.sweep(conn, datastack, table, gaps, batch, progress))
            _drop_forgotten(conn, datastack, table)
        except psycopg.errors.LockNotAvailable:
            raise Conflict(
                f"The history of '{table.table}' is being written anew.",
                "Collect when that is done; see: matengine runs.",
            ) from None
    forget(conn, datastack)
    _record(conn, datastack, gaps)
    return Collected(epochs, [r for r in removed if r.rows])


def _mark(conn: Connection, datastack: str, before: datetime) -> list[int]:
    """Mark the epochs that nobody may read from now on."""
    with conn.transaction():
        datastacks.lock(conn, datastack)
        still_read = dropping.left_schemas(conn, datastack)
        with conn.cursor(row_factory=class_row(Epoch)) as cursor:
            kept = cursor.execute(
                _KEPT, {"datastack": datastack, "still_read": still_read}
            ).fetchall()
        epochs = retention.let_go(kept, before)
        conn.execute(
            "UPDATE matengine.epoch SET collected = clock_timestamp()"
            " WHERE datastack = %s AND epoch = ANY(%s)",
            (datastack, epochs),
        )
    conn.commit()
    return epochs


def _gaps(conn: Connection, datastack: str) -> list[Gap]:
    """The gaps between kept epochs that have not been emptied yet."""
    kept = conn.execute(
        "SELECT epoch FROM matengine.epoch"
        " WHERE datastack = %s AND sealed IS NOT NULL AND collected IS NULL ORDER BY epoch",
        (datastack,),
    ).fetchall()
    done = conn.execute(
        "SELECT after_epoch, before_epoch FROM matengine.emptied WHERE datastack = %s", (datastack,)
    ).fetchall()
    return [
        Gap(after, before, max([after, *(b for a, b in done if a == after and b < before)]))
        for after, before in pairwise([0, *(int(epoch) for (epoch,) in kept)])
        if before - after > 1 and (after, before) not in done
    ]


def _record(conn: Connection, datastack: str, gaps: list[Gap]) -> None:
    """Remember that gaps are empty, in place of the smaller ones that they have swallowed."""
    for gap in gaps:
        conn.execute(
            "DELETE FROM matengine.emptied"
            " WHERE datastack = %s AND after_epoch >= %s AND before_epoch <= %s",
            (datastack, gap.after, gap.before),
        )
        conn.execute(
            "INSERT INTO matengine.emptied (datastack, after_epoch, before_epoch)"
            " VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (datastack, gap.after, gap.before),
        )
    conn.commit()


def _layouts(conn: Connection, datastack: str) -> list[Layout]:
    """The layouts of all histories, also of annotation tables that were deleted."""
    segmentation = datastacks.get(conn, datastack).segmentation.name
    found = [
        layout.layout_of(conn, t, segmentation) for t in tables.list_tables(conn, deleted=True)
    ]
    there = [table for table in found if _exists(conn, table)]
    conn.commit()
    return there


def _exists(conn: Connection, table: Layout) -> bool:
    row = conn.execute(
        "SELECT to_regclass(%s) IS NOT NULL", (table.history.as_string(conn),)
    ).fetchone()
    assert row is not None
    return bool(row[0])


def _drop_forgotten(conn: Connection, datastack: str, table: Layout) -> None:
    """Remove the history of a deleted annotation table that no kept epoch has.

    Where somebody still reads it, or has made a view of it, it stays until the next time.
    """
    if tables.get_metadata(conn, table.table).deleted is not None and not _is_kept(
        conn, datastack, table
    ):
        with (
            suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist),
            conn.transaction(),
        ):
            conn.execute(
                sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(dropping.LOCK_TIMEOUT))
            )
            conn.execute(sql.SQL("DROP TABLE {}").format(table.history))
    conn.commit()


def _is_kept(conn: Connection, datastack: str, table: Layout) -> bool:
    """Whether a kept epoch has a deleted table, or one to come may be of a time when it was."""
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM matengine.epoch_table JOIN matengine.epoch AS e"
        "   USING (datastack, epoch)"
        "   WHERE datastack = %(ds)s AND table_name = %(table)s AND e.collected IS NULL)"
        " OR NOT EXISTS (SELECT FROM matengine.epoch AS e"
        "   JOIN public.annotation_table_metadata AS m ON m.deleted <= e.time"
        "   WHERE e.datastack = %(ds)s AND m.table_name = %(table)s AND e.sealed IS NOT NULL)",
        {"ds": datastack, "table": table.table},
    ).fetchone()
    assert row is not None
    return bool(row[0])
