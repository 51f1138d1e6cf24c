"""Collecting: row versions that no kept epoch shows are removed, beside readers and writers.

An epoch is kept while it is the newest sealed one, while a version names it that has not expired,
or, without a version, while it is young: live queries start from the nearest epoch. The others are
marked as collected; from then on nobody reads them, so nothing hangs on when their rows go.

Between two neighbouring kept epochs p < q all row versions with p < from_epoch and to_epoch <= q
are garbage. Each has a successor of its id, a newer row version or a tombstone, that begins after
p and not after q; these are found by the index on `from_epoch + 0`, and the garbage by that on
`id`. Where the gap before an older q has been emptied, successors begin after that q. So the cost
is that of what changed, never that of the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
from psycopg import sql

from matengine import times
from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.versions import dropping, layout
from matengine.engine.versions.layout import Layout
from matengine.errors import Conflict
from matengine.progress import Progress, quiet
from matengine.storage.connections import Connection, conninfo_of, open_connection

# How long an epoch without a version serves live queries.
LIVE_HORIZON = timedelta(days=2)
# Annotations whose garbage one transaction removes: well under a second.
BATCH = 5_000
# Compaction has the table for longer than this.
_LOCK_TIMEOUT = "10s"

_MARK = """
UPDATE matengine.epoch AS e SET collected = clock_timestamp()
WHERE e.datastack = %(ds)s AND e.sealed IS NOT NULL AND e.collected IS NULL
  AND e.epoch < (SELECT max(epoch) FROM matengine.epoch
                 WHERE datastack = %(ds)s AND sealed IS NOT NULL)
  AND NOT EXISTS (SELECT FROM matengine.version AS v WHERE v.datastack = %(ds)s
    AND v.epoch = e.epoch
    AND (v.status IN ('AVAILABLE', 'RUNNING') OR v.version = ANY(%(still_read)s)))
  AND (e.time < %(before)s OR EXISTS (SELECT FROM matengine.version AS v
    WHERE v.datastack = %(ds)s AND v.epoch = e.epoch AND v.status = 'EXPIRED'))
RETURNING e.epoch
"""

_BY_INDEX = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off
"""


@dataclass(frozen=True)
class Removed:
    """What went from one history: `rows` row versions and tombstones of `bytes` in all."""

    table: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Collected:
    """`epochs` are those that were marked now; rows may be of some that were marked before."""

    epochs: list[int]
    tables: list[Removed]


@dataclass(frozen=True)
class _Gap:
    """Kept epochs without a kept one between. Garbage has successors that begin after `since`."""

    after: int
    before: int
    since: int


def collect(
    conn: Connection,
    datastack: str,
    *,
    now: datetime | None = None,
    live_horizon: timedelta = LIVE_HORIZON,
    batch: int = BATCH,
    progress: Progress = quiet,
) -> Collected:
    """Remove what no kept epoch of a datastack shows. Commits.

    It may be interrupted at any moment: the next call goes on. `progress` counts annotations.
    Raises Conflict where a table is being compacted, and NotFound.
    """
    dropping.remove_schemas(conn, datastack)
    epochs = _mark(conn, datastack, (now or times.now()) - live_horizon)
    gaps = _gaps(conn, datastack)
    conn.commit()
    removed = []
    for table in _layouts(conn, datastack):
        removed.append(_collect_table(conn, datastack, table, gaps, batch, progress))
        _drop_forgotten(conn, datastack, table)
    _record(conn, datastack, gaps)
    return Collected(sorted(epochs), [r for r in removed if r.rows])


def _mark(conn: Connection, datastack: str, before: datetime) -> list[int]:
    """Mark the epochs that nobody may read from now on."""
    with conn.transaction():
        datastacks.lock(conn, datastack)
        still_read = dropping.left_schemas(conn, datastack)
        names = {"ds": datastack, "before": before, "still_read": still_read}
        epochs = [int(epoch) for (epoch,) in conn.execute(_MARK, names).fetchall()]
    conn.commit()
    return epochs


def _gaps(conn: Connection, datastack: str) -> list[_Gap]:
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
        _Gap(after, before, max([after, *(b for a, b in done if a == after and b < before)]))
        for after, before in pairwise([0, *(int(epoch) for (epoch,) in kept)])
        if before - after > 1 and (after, before) not in done
    ]


def _record(conn: Connection, datastack: str, gaps: list[_Gap]) -> None:
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


def _collect_table(
    conn: Connection,
    datastack: str,
    table: Layout,
    gaps: list[_Gap],
    batch: int,
    progress: Progress,
) -> Removed:
    rows = size = 0
    for gap in gaps:
        total = _find(conn, datastack, table, gap)
        for done, (count, freed) in enumerate(_batches(conn, table, gap, batch), 1):
            rows, size = rows + count, size + freed
            progress(min(done * batch, total), total, f"collect {table.table}")
    if rows:
        # so that later epochs write where the garbage lay; needs no transaction around it
        with open_connection(conninfo_of(conn), autocommit=True) as vacuum:
            vacuum.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table.history))
    return Removed(table.table, rows, size)


def _find(conn: Connection, datastack: str, table: Layout, gap: _Gap) -> int:
    """List the ids that have garbage in a gap, in a table of this session; gives their number."""
    conn.execute("DROP TABLE IF EXISTS pg_temp.garbage")
    conn.execute("CREATE TEMP TABLE garbage (id bigint PRIMARY KEY)")
    conn.execute(_BY_INDEX)
    found = conn.execute(
        sql.SQL("""
            INSERT INTO pg_temp.garbage
            SELECT DISTINCT old.id FROM {history} AS next JOIN {history} AS old USING (id)
            WHERE next.from_epoch + 0 > {since} AND next.from_epoch + 0 <= {before}
              AND old.from_epoch > {after} AND old.to_epoch <= {before}
              AND old.from_epoch < old.to_epoch
            """).format(
            history=table.history,
            since=sql.Literal(max(gap.since, _first_epoch(conn, datastack, table))),
            **_bounds(gap),
        )
    ).rowcount
    conn.commit()
    return found


def _first_epoch(conn: Connection, datastack: str, table: Layout) -> int:
    """The first epoch that has the table: nothing in it succeeds anything."""
    row = conn.execute(
        "SELECT coalesce(min(epoch), 0) FROM matengine.epoch_table"
        " WHERE datastack = %s AND table_name = %s",
        (datastack, table.table),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _bounds(gap: _Gap) -> dict[str, sql.Literal]:
    return {"after": sql.Literal(gap.after), "before": sql.Literal(gap.before)}


def _batches(conn: Connection, table: Layout, gap: _Gap, batch: int) -> Iterator[tuple[int, int]]:
    """Remove the garbage of the listed ids, a transaction a batch; yields rows and bytes of each.

    A tombstone goes with the last row version that it ends, so it is there as long as a kept epoch
    shows the row, and a diff finds it.
    """
    last = -(2**63)
    while True:
        with conn.transaction():
            row = conn.execute(
                "SELECT max(id) FROM (SELECT id FROM pg_temp.garbage WHERE id > %s"
                " ORDER BY id LIMIT %s) AS next",
                (last, batch),
            ).fetchone()
            assert row is not None
            if row[0] is None:
                break
            keep_in_place(conn, table)
            conn.execute(_BY_INDEX)
            gone = [
                conn.execute(
                    sql.SQL(statement).format(
                        history=table.history,
                        first=sql.Literal(last),
                        last=sql.Literal(row[0]),
                        **_bounds(gap),
                    )
                ).fetchone()
                for statement in (_ROWS, _TOMBSTONES)
            ]
            last = row[0]
        conn.commit()
        yield sum(int(g[0]) for g in gone if g), sum(int(g[1]) for g in gone if g)
    conn.commit()


_ROWS = """
WITH gone AS (
  DELETE FROM {history} AS h USING pg_temp.garbage AS g
  WHERE g.id > {first} AND g.id <= {last} AND h.id = g.id
    AND h.from_epoch > {after} AND h.to_epoch <= {before} AND h.from_epoch < h.to_epoch
  RETURNING pg_column_size(h.*) AS size)
SELECT count(*), coalesce(sum(size), 0) FROM gone
"""

_TOMBSTONES = """
WITH gone AS (
  DELETE FROM {history} AS h USING pg_temp.garbage AS g
  WHERE g.id > {first} AND g.id <= {last} AND h.id = g.id
    AND h.from_epoch = h.to_epoch AND h.to_epoch <= {before}
    AND NOT EXISTS (SELECT FROM {history} AS o WHERE o.id = h.id
                    AND o.from_epoch < o.to_epoch AND o.to_epoch <= h.from_epoch)
  RETURNING pg_column_size(h.*) AS size)
SELECT count(*), coalesce(sum(size), 0) FROM gone
"""


def keep_in_place(conn: Connection, table: Layout, *, alone: bool = False) -> None:
    """Keep a history from being rewritten until the transaction ends; `alone`: to rewrite it.

    Raises Conflict where that has to wait for long.
    """
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    try:
        with conn.transaction():
            conn.execute(sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(_LOCK_TIMEOUT)))
            conn.execute(
                sql.SQL("SELECT {}(hashtextextended({}, 1))").format(
                    sql.Identifier(function), sql.Literal(table.name)
                )
            )
            conn.execute("SET LOCAL lock_timeout TO DEFAULT")
    except psycopg.errors.LockNotAvailable:
        raise Conflict(
            f"The history of '{table.table}' is being "
            + ("collected or compacted." if alone else "compacted."),
            "Try again when that is done; see: matengine runs.",
        ) from None


def _drop_forgotten(conn: Connection, datastack: str, table: Layout) -> None:
    """Remove the history of a deleted annotation table that no kept epoch has."""
    if tables.get_metadata(conn, table.table).deleted is not None:
        with conn.transaction():
            datastacks.lock(conn, datastack)
            kept = conn.execute(
                "SELECT 1 FROM matengine.epoch_table JOIN matengine.epoch AS e"
                " USING (datastack, epoch)"
                " WHERE datastack = %s AND table_name = %s AND e.collected IS NULL LIMIT 1",
                (datastack, table.table),
            ).fetchone()
            if kept is None:
                conn.execute(sql.SQL("DROP TABLE {}").format(table.history))
    conn.commit()
