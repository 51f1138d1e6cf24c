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
    conn.execute(statements.forget())
    effect = effect_of(only_row(conn, statements.replace()))
    effect += effect_of(only_row(conn, statements.insert()))
    units.finish(conn, unit, effect)
    conn.commit()


def effect_of(told: tuple[Any, ...]) -> Effect:
    """The effect that a statement tells: rows added and closed, change of hashes and of gaps."""
    added, closed, hashes, gaps = told
    return Effect(added, closed, added - closed, int(hashes), int(gaps))


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
        self._names = {
            "history": table.history,
            "staged": table.staged(run.epoch),
            "lookups": table.lookups,
            "live": table.live,
            "epoch": sql.Literal(run.epoch),
            "open": sql.Literal(OPEN),
            "within": root_ranges.within(table, unit, "s"),
            "order": root_ranges.order(table, "n"),
            "columns": _listed(None, [*annotation, *segmentation]),
            "of_history": _listed("h", annotation),
            "of_live": _listed("l", annotation),
            "found": sql.SQL("").join(
                sql.SQL(", {}").format(sql.Identifier("s", c)) for c in segmentation
            ),
            "old": _listed("h", segmentation),
            "new": _listed("s", segmentation),
            "hash": fingerprint.row_hash(table, "h"),
            "gap": fingerprint.gap(table, "h"),
        }

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._names, **more)

    def forget(self) -> sql.Composed:
        """What was looked up ahead of the rows goes."""
        return self._sql("""
            DELETE FROM {lookups} AS k USING {staged} AS s
            WHERE k.id = s.id AND s.resolved AND {within}
            """)

    def replace(self) -> sql.Composed:
        """Close the rows that have new roots, and add them with these.

        They are copied from history: what the live table says of them by now is for later epochs.
        Rows that are as they were are left alone, as when a lookup failed again.
        """
        return self._sql("""
            WITH closed AS (
              UPDATE {history} AS h SET to_epoch = {epoch} FROM {staged} AS s
              WHERE s.shown AND s.resolved AND {within} AND h.id = s.id
                AND h.to_epoch = {open} AND h.from_epoch < {epoch}
                AND ROW({old}) IS DISTINCT FROM ROW({new})
              RETURNING {of_history} {found}, {hash} AS hash, {gap} AS gap),
            added AS (
              INSERT INTO {history} AS h ({columns}, from_epoch)
              SELECT {columns}, {epoch} FROM closed AS n ORDER BY {order}, n.id
              RETURNING {hash} AS hash, {gap} AS gap),
            before AS (
              SELECT count(*) AS count, coalesce(sum(hash), 0) AS hashes,
                     coalesce(sum(gap), 0) AS gaps FROM closed),
            after AS (
              SELECT count(*) AS count, coalesce(sum(hash), 0) AS hashes,
                     coalesce(sum(gap), 0) AS gaps FROM added)
            SELECT after.count, before.count,
                   after.hashes - before.hashes, after.gaps - before.gaps FROM before, after
            """)

    def insert(self) -> sql.Composed:
        """Add the rows that history does not show yet, and that are in the live table still."""
        return self._sql("""
            WITH added AS (
              INSERT INTO {history} AS h ({columns}, from_epoch)
              SELECT {columns}, {epoch} FROM (
                SELECT {of_live} {found} FROM {staged} AS s JOIN {live} AS l USING (id)
                WHERE NOT s.shown AND s.resolved AND {within}) AS n ORDER BY {order}, n.id
              RETURNING {hash} AS hash, {gap} AS gap)
            SELECT count(*), 0, coalesce(sum(hash), 0), coalesce(sum(gap), 0) FROM added
            """)


def _listed(alias: str | None, columns: list[str]) -> sql.Composed:
    """Columns, of a table where `alias` names one."""
    return sql.SQL(", ").join(
        sql.Identifier(c) if alias is None else sql.Identifier(alias, c) for c in columns
    )
