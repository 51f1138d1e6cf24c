"""Applying: write the staged rows into a history, in the order of their roots.

The first epoch of a table is written by `first`.
"""

from typing import Any

from psycopg import sql

from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import fingerprint, layout, planner, root_ranges
from matengine.engine.versions.layout import OPEN, Layout
from matengine.engine.versions.root_ranges import Range
from matengine.storage.connections import Connection

# Rows that one unit writes in one transaction
BLOCK = 250_000


def ranges(conn: Connection, table: Layout, run: Run) -> list[Range]:
    """Ranges of the ordering root that split the epoch's staged rows into about BLOCK each.

    The first and the last range are open. Empty where nothing is staged.
    """
    staged = table.staged(run.epoch)
    (count,) = only_row(conn, sql.SQL("SELECT count(*) FROM {}").format(staged))
    if not count:
        return []
    parts = -(-count // BLOCK)
    fractions = [part / parts for part in range(1, parts)]
    cuts = conn.execute(
        sql.SQL(
            "SELECT DISTINCT unnest(percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY {order}))"
            " FROM {staged} ORDER BY 1"
        ).format(order=root_ranges.order(table), staged=staged),
        (fractions,),
    ).fetchall()
    return root_ranges.between(cuts)


def apply(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of an applying unit: close what changed, insert what shows now."""
    table = layout.of_unit(conn, run, unit)
    units.hold(conn, unit)
    statements = Statements(table, run, unit)
    planner.use_indexes(conn)
    conn.execute(statements.take())
    added, closed, count, hashes, gaps = only_row(conn, statements.replace())
    effect = Effect(added, closed, count, int(hashes), int(gaps))
    count, hashes, gaps = only_row(conn, statements.insert())
    effect += Effect(count, 0, count, int(hashes), int(gaps))
    units.finish(conn, unit, effect)
    conn.commit()


def only_row(conn: Connection, query: sql.Composed) -> tuple[Any, ...]:
    """The only row of a query."""
    row: tuple[Any, ...] | None = conn.execute(query).fetchone()
    assert row is not None
    return row


class Statements:
    """The SQL of one applying unit, with its constants as literals."""

    def __init__(self, table: Layout, run: Run, unit: Unit) -> None:
        annotation = ["id", "created", *(c.name for c in table.annotation)]
        segmentation = [*table.supervoxels, *table.roots]
        found = [sql.Identifier("t", c) for c in segmentation]
        fresh = [sql.SQL("(c.t).{}").format(sql.Identifier(c)) for c in segmentation]
        self._names = {
            "history": table.history,
            "staged": table.staged(run.epoch),
            "lookups": table.lookups,
            "live": table.live,
            "epoch": sql.Literal(run.epoch),
            "open": sql.Literal(OPEN),
            "within": root_ranges.within(table, unit, "s"),
            "order": root_ranges.order(table, "t"),
            "order_copied": sql.SQL("coalesce({}, 0)").format(
                fresh[-1] if fresh else sql.Identifier("c", "id")
            ),
            "columns": sql.SQL(", ").join(map(sql.Identifier, [*annotation, *segmentation])),
            "values": sql.SQL(", ").join([*(sql.Identifier("l", c) for c in annotation), *found]),
            "copied": sql.SQL(", ").join([*(sql.Identifier("c", c) for c in annotation), *fresh]),
            "old": _row("h", table.supervoxels + table.roots),
            "new": _row("s", table.supervoxels + table.roots),
            "hash_closed": fingerprint.row_hash(table, "closed"),
            "gap_closed": fingerprint.gap(table, "closed"),
            "hash_added": fingerprint.row_hash(table, "added"),
            "gap_added": fingerprint.gap(table, "added"),
        }

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._names, **more)

    def take(self) -> sql.Composed:
        """The unit's rows in a temporary table; what was looked up ahead of them goes.

        `place` is where history shows a row as it was. Rows that are as they were are left out, as
        when a lookup failed again.
        """
        return self._sql("""
            CREATE TEMP TABLE taken ON COMMIT DROP AS
            SELECT s.*, h.ctid AS place FROM {staged} AS s
              LEFT JOIN {history} AS h ON h.id = s.id AND h.to_epoch = {open}
              WHERE (h.id IS NULL OR {old} IS DISTINCT FROM {new}) AND s.resolved AND {within};
            DELETE FROM {lookups} AS k USING {staged} AS s
            WHERE k.id = s.id AND s.resolved AND {within}
            """)

    def replace(self) -> sql.Composed:
        """Close the rows that have new roots, and add them with these.

        They are copied from history: what the live table says of them by now is for later epochs.
        """
        return self._sql("""
            WITH closed AS (
              UPDATE {history} AS h SET to_epoch = {epoch} FROM pg_temp.taken AS t
              WHERE h.ctid = t.place AND h.id = t.id
                AND h.to_epoch = {open} AND h.from_epoch < {epoch}
              RETURNING h.*, t AS t),
            added AS (
              INSERT INTO {history} ({columns}, from_epoch)
              SELECT {copied}, {epoch} FROM closed AS c ORDER BY {order_copied}, c.id
              RETURNING *),
            before AS (
              SELECT count(*) AS count, coalesce(sum({hash_closed}::numeric), 0) AS hashes,
                     coalesce(sum({gap_closed}), 0) AS gaps FROM closed),
            after AS (
              SELECT count(*) AS count, coalesce(sum({hash_added}::numeric), 0) AS hashes,
                     coalesce(sum({gap_added}), 0) AS gaps FROM added)
            SELECT after.count, before.count, after.count - before.count,
                   after.hashes - before.hashes, after.gaps - before.gaps FROM before, after
            """)

    def insert(self) -> sql.Composed:
        """Add the rows that history does not show yet, and that are in the live table still."""
        return self._sql("""
            WITH added AS (
              INSERT INTO {history} ({columns}, from_epoch)
              SELECT {values}, {epoch} FROM pg_temp.taken AS t JOIN {live} AS l USING (id)
              WHERE t.place IS NULL ORDER BY {order}, t.id
              RETURNING *)
            SELECT count(*), coalesce(sum({hash_added}::numeric), 0),
                   coalesce(sum({gap_added}), 0) FROM added
            """)


def _row(alias: str, columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(alias, c) for c in columns))
