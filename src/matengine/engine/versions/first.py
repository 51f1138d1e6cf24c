"""The first epoch of a table: its rows written straight, in the order of their roots.

History shows nothing yet and has no index, so there is nothing to compare with or to close.
"""

from psycopg import sql

from matengine.engine.runs import units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import apply, fingerprint, layout, root_ranges
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
    count, hashes, gaps = apply.only_row(conn, _insert(table, run, unit))
    units.finish(conn, unit, Effect(count, 0, count, int(hashes), int(gaps)))
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


def _insert(table: Layout, run: Run, unit: Unit) -> sql.Composed:
    annotation = ["id", "created", *(c.name for c in table.annotation)]
    segmentation = [*table.supervoxels, *table.roots]
    values = [
        *(sql.Identifier("l", c) for c in annotation),
        *(sql.Identifier("t", c) for c in segmentation),
    ]
    return sql.SQL("""
        WITH added AS (
          INSERT INTO {history} AS h ({columns}, from_epoch)
          SELECT {values}, {epoch} FROM {staged} AS t JOIN {live} AS l USING (id)
          WHERE t.resolved AND {within} ORDER BY {order}, t.id
          RETURNING {hash} AS hash, {gap} AS gap)
        SELECT count(*), coalesce(sum(hash), 0), coalesce(sum(gap), 0) FROM added
        """).format(
        history=table.history,
        columns=sql.SQL(", ").join(map(sql.Identifier, [*annotation, *segmentation])),
        values=sql.SQL(", ").join(values),
        epoch=sql.Literal(run.epoch),
        staged=table.staged(run.epoch),
        live=table.live,
        within=root_ranges.within(table, unit, "t"),
        order=root_ranges.order(table, "t"),
        hash=fingerprint.row_hash(table, "h"),
        gap=fingerprint.gap(table, "h"),
    )
