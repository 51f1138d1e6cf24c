"""Collecting: close the rows that were deleted, stage the rows whose roots must be found.

Every statement finds its rows from what changed: the queue of changes, the expired roots, the
lookups that failed. None may scan a whole table, so scans and joins that read all of one are
switched off for the transaction: the planner would choose them on stale statistics.
"""

from typing import Any

from psycopg import sql

from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import fingerprint, layout, planner
from matengine.engine.versions.layout import OPEN, Layout
from matengine.storage.connections import Connection

# Rows a resolving unit takes: large enough for chunk-local lookups, a second or two of work.
BLOCK = 100_000
# A run of inserts this long is not staged but becomes units of its own, in parts of a BLOCK.
LONG = 5_000


def collect(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a collecting unit: one table, one transaction."""
    table = layout.of_unit(conn, run, unit)
    units.hold(conn, unit)
    planner.use_indexes(conn)
    statements = Statements(table, run)
    conn.execute(statements.find_gone())
    effect = _effect(conn.execute(statements.close_gone()).fetchone())
    conn.execute(statements.forget())
    conn.execute(statements.strike_failures())
    conn.execute(statements.stage_new())
    if table.roots:
        conn.execute(statements.stage_expired())
    conn.execute(statements.stage_failed())
    staged = conn.execute(statements.staged_ranges()).fetchall()
    units.plan(conn, run.run_id, "staged", table.table, staged)
    for first, last in conn.execute(statements.long_runs()).fetchall():
        fresh = conn.execute(statements.fresh_ranges(first, last)).fetchall()
        units.plan(conn, run.run_id, "fresh", table.table, fresh)
    units.finish(conn, unit, effect)
    conn.commit()


def _effect(row: tuple[Any, ...] | None) -> Effect:
    assert row is not None
    closed, hashes, gaps = row
    return Effect(
        rows_closed=closed, count_change=-closed, hash_change=-int(hashes), gap_change=-int(gaps)
    )


class Statements:
    """The SQL of one table's collecting, with its constants as literals."""

    def __init__(self, table: Layout, run: Run) -> None:
        self.table = table
        self._names = {
            "history": table.history,
            "lookups": table.lookups,
            "staged": table.staged(run.epoch),
            "live": table.live,
            "epoch": sql.Literal(run.epoch),
            "time": sql.Literal(run.time),
            "open": sql.Literal(OPEN),
            "block": sql.Literal(BLOCK),
            "long": sql.Literal(LONG),
            "run": sql.Literal(run.run_id),
            "datastack": sql.Literal(run.datastack),
            "name": sql.Literal(table.table),
            "columns": layout.names_of(table),
            "order": sql.Identifier(table.order),
            "supervoxels": layout.trailing(table.supervoxels),
            "of_history": layout.trailing(table.supervoxels, "h"),
            "hash": fingerprint.row_hash(table, "closed"),
            "gap": fingerprint.gap(table, "closed"),
        }

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._names, **more)

    def find_gone(self) -> sql.Composed:
        """Rows deleted by the epoch's time, removed from the live table, or replaced there."""
        return self._sql("""
            CREATE TEMP TABLE gone ON COMMIT DROP AS
            SELECT l.id FROM matengine.change AS c JOIN {live} AS l
              ON l.id BETWEEN c.first_id AND c.last_id
            WHERE c.datastack = {datastack} AND c.table_name = {name} AND c.kind = 'delete'
              AND c.epoch = {epoch} AND l.deleted <= {time}
            UNION
            SELECT h.id FROM matengine.change AS c JOIN {history} AS h
              ON h.id BETWEEN c.first_id AND c.last_id AND h.to_epoch = {open}
            WHERE c.datastack = {datastack} AND c.table_name = {name} AND c.kind = 'delete'
              AND c.epoch = {epoch} AND NOT EXISTS (
                SELECT 1 FROM {live} AS l WHERE l.id = h.id AND l.created = h.created)
            """)

    def forget(self) -> sql.Composed:
        """Drop the supervoxels looked up ahead of rows that are not what was looked up.

        They went before an epoch took them up; or they strayed: a row was removed, whose id may
        have come again, or its point was moved in place.
        """
        return self._sql("""
            WITH changed AS (
              SELECT first_id, last_id, false AS strayed FROM matengine.change
              WHERE datastack = {datastack} AND table_name = {name} AND kind = 'delete'
                AND epoch = {epoch}
              UNION ALL
              SELECT first_id, last_id, true FROM matengine.strayed WHERE table_name = {name})
            DELETE FROM {lookups} AS s USING changed AS c
            WHERE s.id BETWEEN c.first_id AND c.last_id AND (c.strayed OR NOT EXISTS (
                SELECT 1 FROM {live} AS l
                WHERE l.id = s.id AND (l.deleted IS NULL OR l.deleted > {time})))
            """)

    def strike_failures(self) -> sql.Composed:
        """Let publishing look whether lookups that failed are of rows which are gone."""
        return self._sql("""
            UPDATE matengine.lookup_failure AS f SET epoch = {epoch} FROM matengine.change AS c
            WHERE c.datastack = {datastack} AND c.table_name = {name} AND c.kind = 'delete'
              AND c.epoch = {epoch} AND f.datastack = c.datastack AND f.table_name = c.table_name
              AND f.id BETWEEN c.first_id AND c.last_id
            """)

    def close_gone(self) -> sql.Composed:
        """Close them, and leave an empty-interval row of each, by which a diff finds it."""
        return self._sql("""
            WITH closed AS (
              UPDATE {history} AS h SET to_epoch = {epoch} FROM gone
              WHERE h.id = gone.id AND h.to_epoch = {open} AND h.from_epoch < {epoch}
              RETURNING h.*),
            tombstone AS (
              INSERT INTO {history} ({columns}, from_epoch, to_epoch)
              SELECT {columns}, {epoch}, {epoch} FROM closed ORDER BY {order}, id)
            SELECT count(*), coalesce(sum({hash}::numeric), 0), coalesce(sum({gap}), 0)
            FROM closed
            """)

    def stage_new(self) -> sql.Composed:
        """Rows of short runs of inserts; long runs become units of their own."""
        return self._sql("""
            INSERT INTO {staged} (id) SELECT DISTINCT l.id
            FROM matengine.change AS c JOIN {live} AS l ON l.id BETWEEN c.first_id AND c.last_id
            WHERE c.datastack = {datastack} AND c.table_name = {name} AND c.kind = 'insert'
              AND c.epoch = {epoch} AND c.last_id - c.first_id < {long}
              AND l.created <= {time} AND (l.deleted IS NULL OR l.deleted > {time})
              AND NOT EXISTS (
                SELECT 1 FROM {history} AS h WHERE h.id = l.id AND h.to_epoch = {open})
            """)

    def stage_expired(self) -> sql.Composed:
        """Rows that show a root which expired since the epoch before, in the order of ids.

        Their roots that did not expire are staged with them: they need not be asked for.
        """
        shown = layout.trailing(self.table.supervoxels + self.table.roots, "h")
        found = [
            self._sql(
                """
                SELECT h.id {shown} FROM matengine.expired_root AS x
                JOIN {history} AS h ON h.{root} = x.root_id
                WHERE x.run_id = {run} AND h.to_epoch = {open} AND h.from_epoch < {epoch}
                """,
                root=sql.Identifier(root),
                shown=shown,
            )
            for root in self.table.roots
        ]
        held = [
            self._sql(
                ", CASE WHEN NOT EXISTS (SELECT FROM matengine.expired_root AS e"
                " WHERE e.run_id = {run} AND e.root_id = h.{root}) THEN h.{root} END",
                root=sql.Identifier(root),
            )
            for root in self.table.roots
        ]
        return self._sql(
            """
            INSERT INTO {staged} (id, shown {supervoxels} {roots})
            SELECT h.id, true {of_history} {held}
            FROM (SELECT DISTINCT ON (id) * FROM ({found}) AS every ORDER BY id) AS h
            """,
            roots=layout.trailing(self.table.roots),
            held=sql.SQL("").join(held),
            found=sql.SQL(" UNION ALL ").join(found),
        )

    def stage_failed(self) -> sql.Composed:
        """Rows with a lookup that failed and may heal, those that are not staged already."""
        return self._sql(
            """
            INSERT INTO {staged} (id, shown {supervoxels}) SELECT DISTINCT h.id, true {of_history}
            FROM matengine.lookup_failure AS f JOIN {history} AS h ON h.id = f.id
            WHERE f.datastack = {datastack} AND f.table_name = {name} AND NOT f.permanent
              AND h.to_epoch = {open} AND h.from_epoch < {epoch}
            ON CONFLICT (id) DO NOTHING
            """
        )

    def staged_ranges(self) -> sql.Composed:
        """Ranges of BLOCK staged ids."""
        return self._sql("""
            SELECT min(id), max(id) FROM (
              SELECT id, (row_number() OVER (ORDER BY id) - 1) / {block} AS part
              FROM {staged}) AS numbered
            GROUP BY part ORDER BY part
            """)

    def long_runs(self) -> sql.Composed:
        """Runs of inserts too long to stage here, those that touch or overlap joined."""
        return self._sql("""
            SELECT min(first_id), max(last_id) FROM (
              SELECT *, count(*) FILTER (WHERE first_id > before + 1)
                          OVER (ORDER BY first_id, seq) AS part
              FROM (SELECT seq, first_id, last_id, coalesce(max(last_id) OVER (
                      ORDER BY first_id, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                      first_id - 2) AS before
                    FROM matengine.change
                    WHERE datastack = {datastack} AND table_name = {name} AND kind = 'insert'
                      AND epoch = {epoch} AND last_id - first_id >= {long}) AS runs) AS parts
            GROUP BY part ORDER BY 1
            """)

    def fresh_ranges(self, first: int, last: int) -> sql.Composed:
        """Ranges of BLOCK ids that are in the live table: the index is asked where each begins."""
        return self._sql(
            """
            WITH RECURSIVE cut (first) AS (
              SELECT min(id) FROM {live} WHERE id BETWEEN {first} AND {last}
              UNION ALL
              SELECT (SELECT id FROM {live} WHERE id BETWEEN cut.first AND {last}
                      ORDER BY id OFFSET {block} LIMIT 1)
              FROM cut WHERE first IS NOT NULL),
            part AS (
              SELECT first, coalesce(lead(first) OVER (ORDER BY first) - 1, {last}) AS last
              FROM cut WHERE first IS NOT NULL)
            SELECT first, (SELECT max(id) FROM {live} WHERE id BETWEEN first AND part.last)
            FROM part ORDER BY first
            """,
            first=sql.Literal(first),
            last=sql.Literal(last),
        )
