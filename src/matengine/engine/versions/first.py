"""The first epoch of a table: its rows written straight, in the order of their roots.

History shows nothing yet and has no index, so there is nothing to compare with or to close.
"""

from psycopg import sql

from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import apply, layout, root_ranges
from matengine.engine.versions.layout import Layout
from matengine.engine.versions.root_ranges import Range
from matengine.storage.connections import Connection

KIND = "first"
FORGET = "forget"

# Rows that a unit writes in one transaction, as long as that makes no more units than these: each
# reads through all that is staged
BLOCK = 500_000
UNITS = 16
# Rows looked at to cut the roots into ranges
SAMPLE = 50_000
# The rows of a unit are sorted: in memory up to here, on disk above
MEMORY = "SET LOCAL work_mem = '128MB'"


def ranges(conn: Connection, table: Layout, run: Run) -> list[Range]:
    """Ranges of the ordering root that split the staged rows into about equal parts.

    The first and the last range are open. Empty where nothing is staged.
    """
    staged = table.staged(run.epoch)
    (count,) = apply.only_row(conn, sql.SQL("SELECT count(*) FROM {}").format(staged))
    if not count:
        return []
    conn.execute(sql.SQL("ANALYZE {}").format(staged))
    parts = min(-(-count // BLOCK), UNITS)
    fractions = sql.Literal([part / parts for part in range(1, parts)])
    cuts = conn.execute(
        sql.SQL(
            "SELECT DISTINCT unnest(percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {}))"
            " FROM {} AS t TABLESAMPLE SYSTEM ({}) REPEATABLE (0) ORDER BY 1"
        ).format(
            fractions,
            root_ranges.order(table, "t"),
            staged,
            sql.Literal(min(100, 100 * SAMPLE / count)),
        )
    ).fetchall()
    return root_ranges.between(cuts)


def write(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a unit: the rows of a range of roots that are in the live table still."""
    table = layout.of_unit(conn, run, unit)
    units.hold(conn, unit)
    conn.execute(MEMORY)
    inserted = apply.only_row(conn, apply.Statements(table, run, unit).insert())
    units.finish(conn, unit, apply.effect_of(inserted))
    conn.commit()


def forget(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a unit: what was looked up ahead of the rows goes.

    That is mostly all there is, so what stays is written anew rather than what goes deleted. Only
    those who look up new rows wait for it.
    """
    table = layout.of_unit(conn, run, unit)
    units.hold(conn, unit)
    conn.execute(
        sql.SQL("""
        LOCK TABLE {lookups} IN ACCESS EXCLUSIVE MODE;
        CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {lookups} AS k
          WHERE NOT EXISTS (SELECT FROM {staged} AS t WHERE t.id = k.id AND t.resolved);
        TRUNCATE {lookups};
        INSERT INTO {lookups} SELECT * FROM pg_temp.kept
        """).format(lookups=table.lookups, staged=table.staged(run.epoch))
    )
    units.finish(conn, unit, Effect())
    conn.commit()
