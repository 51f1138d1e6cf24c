"""Sweeping one history: the row versions between two kept epochs that neither shows.

Between neighbouring kept epochs p < q all row versions with p < from_epoch and to_epoch <= q are
garbage. Each has a successor of its id, a newer row version or a tombstone, that begins after p
and not after q; these are found by the index on `from_epoch + 0`, and the garbage by that on `id`.
Where the gap from p to an earlier q has been emptied, successors begin after that q. So the cost
is that of what changed, never that of the table.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from matengine.engine.versions import planner, rewrite
from matengine.engine.versions.layout import Layout
from matengine.progress import Progress
from matengine.storage.connections import Connection, conninfo_of, open_connection

# Annotations whose garbage one transaction removes: well under a second.
BATCH = 5_000
# Only writing a history anew keeps it for longer.
LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Removed:
    """What went from one history: `rows` row versions and tombstones of `bytes` in all."""

    table: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Gap:
    """Kept epochs without a kept one between. Garbage has successors that begin after `since`."""

    after: int
    before: int
    since: int


def sweep(
    conn: Connection,
    datastack: str,
    table: Layout,
    gaps: list[Gap],
    batch: int,
    progress: Progress,
) -> Removed:
    """Remove the garbage of some gaps. Commits, a transaction a batch.

    Raises psycopg's LockNotAvailable where the history is being written anew.
    """
    rows = size = 0
    for gap in gaps:
        total = _find(conn, datastack, table, gap)
        for done, (count, freed) in enumerate(_batches(conn, table, gap, batch), 1):
            rows, size = rows + count, size + freed
            progress(min(done * batch, total), total, f"collect {table.table}")
    if rows:
        _vacuum(conn, table)
    return Removed(table.table, rows, size)


def _vacuum(conn: Connection, table: Layout) -> None:
    """Let later epochs write where the garbage lay; left to the server where others are at it."""
    with (
        suppress(psycopg.errors.LockNotAvailable),
        open_connection(conninfo_of(conn), autocommit=True) as alone,
    ):
        alone.execute(sql.SQL("SET lock_timeout TO {}").format(sql.Literal(LOCK_TIMEOUT)))
        alone.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table.history))


def _find(conn: Connection, datastack: str, table: Layout, gap: Gap) -> int:
    """List the ids that have garbage in a gap, in a table of this session; gives their number."""
    conn.execute("DROP TABLE IF EXISTS pg_temp.garbage")
    conn.execute("CREATE TEMP TABLE garbage (id bigint PRIMARY KEY)")
    planner.use_indexes(conn)
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


def _bounds(gap: Gap) -> dict[str, sql.Literal]:
    return {"after": sql.Literal(gap.after), "before": sql.Literal(gap.before)}


def _batches(conn: Connection, table: Layout, gap: Gap, batch: int) -> Iterator[tuple[int, int]]:
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
            planner.use_indexes(conn)
            conn.execute(sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(LOCK_TIMEOUT)))
            # else what goes from the old table would still be in the new one
            conn.execute(rewrite.ALONE.format(table.history))
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
