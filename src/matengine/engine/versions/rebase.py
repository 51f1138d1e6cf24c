"""Rebasing: an epoch that changes much of a table, as a new segmentation does, writes it anew.

Closing and inserting row by row costs, for each row that changes, an entry in every index and the
place of a dead row. Where that is a large part of the table, it is cheaper to write the whole
history once: the row versions of old, those that change closed, and the new ones among them in the
order of roots. Old versions stay what they were, and are read from the new table.
"""

from psycopg import sql

from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import apply, fingerprint, layout, rewrite
from matengine.engine.versions.layout import OPEN, Layout
from matengine.errors import Conflict
from matengine.storage.connections import Connection

KIND = "rebase"

# The part of a table's rows from which on writing it anew costs no more CPU, and less WAL and disk:
# measured by bench/resegment.py, see docs/performance.md
SHARE = 0.3
# Fewer rows than these are written one by one within seconds, whatever part of a table they are
LEAST = 100_000


def due(conn: Connection, run: Run, table: Layout) -> bool:
    """Whether the rows that an epoch has staged are so large a part of those before it."""
    row = conn.execute(
        sql.SQL(
            "SELECT (SELECT count(*) FROM {}), (SELECT row_count FROM matengine.epoch_table"
            " WHERE datastack = %s AND table_name = %s AND epoch < %s"
            " ORDER BY epoch DESC LIMIT 1)"
        ).format(table.staged(run.epoch)),
        (run.datastack, table.table, run.epoch),
    ).fetchone()
    assert row is not None
    staged, before = row
    return before is not None and staged >= max(LEAST, SHARE * before, 1)


def rebase(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a rebasing unit: one table, one transaction.

    Where readers never make way for the exchange, the rows are written one by one after all.
    """
    table = layout.of_unit(conn, run, unit)
    statements = Statements(table, run)
    copy = rewrite.write(conn, run, unit, table, statements.rows())
    closed, hashes_closed, gaps_closed = apply.only_row(conn, statements.closed())
    added, hashes_added, gaps_added = apply.only_row(conn, statements.added(copy.table))
    conn.execute(statements.forget())
    try:
        rewrite.put_in_place(conn, unit, table, copy)
    except Conflict:
        conn.rollback()
        units.hold(conn, unit)
        units.plan(conn, run.run_id, "apply", table.table, apply.ranges(conn, table, run))
        units.finish(conn, unit, Effect())
    else:
        effect = Effect(
            added,
            closed,
            added - closed,
            int(hashes_added) - int(hashes_closed),
            int(gaps_added) - int(gaps_closed),
        )
        units.finish(conn, unit, effect)
    conn.commit()


class Statements:
    """The SQL of a rebasing unit, with its constants as literals."""

    def __init__(self, table: Layout, run: Run) -> None:
        annotation = ["id", "created", *(c.name for c in table.annotation)]
        segmentation = [*table.supervoxels, *table.roots]
        taken = [sql.Identifier("t", c) for c in segmentation]
        self._names = {
            "history": table.history,
            "staged": table.staged(run.epoch),
            "lookups": table.lookups,
            "live": table.live,
            "epoch": sql.Literal(run.epoch),
            "open": sql.Literal(OPEN),
            "columns": _listed([sql.Identifier(c) for c in rewrite.columns_of(table)[:-2]]),
            "kept": _listed([sql.Identifier("h", c) for c in rewrite.columns_of(table)[:-2]]),
            "names": _listed([sql.Identifier(c) for c in [*annotation, *segmentation]]),
            "copied": _listed([*(sql.Identifier("h", c) for c in annotation), *taken]),
            "values": _listed([*(sql.Identifier("l", c) for c in annotation), *taken]),
            "old": _listed([sql.Identifier("h", c) for c in segmentation]),
            "new": _listed(taken),
            "hash": fingerprint.row_hash(table, "h"),
            "gap": fingerprint.gap(table, "h"),
        }

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._names, **more)

    def _changed(self) -> sql.Composed:
        """The join of history and the staged rows that show otherwise there."""
        return self._sql(
            "{staged} AS t ON t.id = h.id AND t.resolved AND h.to_epoch = {open}"
            " AND h.from_epoch < {epoch} AND ROW({old}) IS DISTINCT FROM ROW({new})"
        )

    def rows(self) -> sql.Composed:
        """All row versions: the old ones, their successors, and the rows that are new.

        Successors are copied from history: what the live table says of them by now is for later
        epochs.
        """
        return self._sql(
            """
            SELECT {kept}, h.from_epoch,
                   CASE WHEN t.id IS NULL THEN h.to_epoch ELSE {epoch} END AS to_epoch
            FROM {history} AS h LEFT JOIN {changed}
            UNION ALL
            SELECT {columns}, {epoch}, {open}
            FROM (SELECT {copied} FROM {history} AS h JOIN {changed}) AS successor ({names})
            UNION ALL
            SELECT {columns}, {epoch}, {open}
            FROM (SELECT {values} FROM {staged} AS t JOIN {live} AS l USING (id)
                  WHERE t.resolved AND NOT EXISTS (
                    SELECT 1 FROM {history} AS h WHERE h.id = t.id AND h.to_epoch = {open})
                 ) AS fresh ({names})
            """,
            changed=self._changed(),
        )

    def closed(self) -> sql.Composed:
        """Count, hashes and gaps of the row versions that the epoch closes here."""
        return self._sql(
            "SELECT count(*), coalesce(sum({hash}::numeric), 0), coalesce(sum({gap}), 0)"
            " FROM {history} AS h JOIN {changed}",
            changed=self._changed(),
        )

    def added(self, copy: sql.Identifier) -> sql.Composed:
        """Count, hashes and gaps of the row versions that begin with the epoch."""
        return self._sql(
            "SELECT count(*), coalesce(sum({hash}::numeric), 0), coalesce(sum({gap}), 0)"
            " FROM {copy} AS h WHERE h.from_epoch = {epoch} AND h.to_epoch = {open}",
            copy=copy,
        )

    def forget(self) -> sql.Composed:
        """What was looked up ahead of the rows goes."""
        return self._sql(
            "DELETE FROM {lookups} AS k USING {staged} AS t WHERE k.id = t.id AND t.resolved"
        )


def _listed(columns: list[sql.Identifier]) -> sql.Composed:
    return sql.SQL(", ").join(columns)
