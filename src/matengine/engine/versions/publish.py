"""Publishing: seal an epoch and make its version available, in one small transaction."""

from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.lookup import failures
from matengine.engine.runs.runs import Run
from matengine.engine.versions import layout, planner
from matengine.engine.versions.fingerprint import MODULUS
from matengine.engine.versions.layout import Layout
from matengine.errors import Conflict
from matengine.storage.connections import Connection

_TALLY = """
WITH effect AS (
  SELECT sum(rows_added) AS added, sum(rows_closed) AS closed, sum(count_change) AS count,
         sum(hash_change) AS hash, sum(gap_change) AS gaps
  FROM matengine.unit WHERE run_id = %(run)s AND table_name = %(table)s),
before AS (
  SELECT row_count, fingerprint, gaps FROM matengine.epoch_table
  WHERE datastack = %(ds)s AND table_name = %(table)s AND epoch < %(epoch)s
  ORDER BY epoch DESC LIMIT 1)
UPDATE matengine.epoch_table AS told SET
  row_count = coalesce(before.row_count, 0) + coalesce(effect.count, 0),
  fingerprint = mod(mod(coalesce(before.fingerprint, 0) + coalesce(effect.hash, 0), %(modulus)s)
                    + %(modulus)s, %(modulus)s),
  gaps = coalesce(before.gaps, 0) + coalesce(effect.gaps, 0),
  rows_added = coalesce(effect.added, 0),
  rows_closed = coalesce(effect.closed, 0)
FROM effect LEFT JOIN before ON true
WHERE told.datastack = %(ds)s AND told.epoch = %(epoch)s AND told.table_name = %(table)s
RETURNING told.gaps
"""


def has_history(conn: Connection, table: Layout, run: Run) -> bool:
    """Whether an epoch before the run's shows this table."""
    row = conn.execute(
        "SELECT EXISTS (SELECT 1 FROM matengine.epoch_table"
        " WHERE datastack = %s AND table_name = %s AND epoch < %s)",
        (run.datastack, table.table, run.epoch),
    ).fetchone()
    assert row is not None
    return bool(row[0])


def publish(conn: Connection, run: Run) -> None:
    """Seal the run's epoch. Raises Conflict where gaps are refused and there are some."""
    layouts = layout.of_run(conn, run)
    gaps = {table.table: _tally(conn, run, table) for table in layouts}
    if any(gaps.values()) and datastacks.get(conn, run.datastack).gap_policy == "refuse":
        raise _refused(run.datastack, {name: count for name, count in gaps.items() if count})
    planner.use_indexes(conn)
    for table in layouts:
        failures.settle(conn, table, run)
        _queue_rest(conn, run, table)
        layout.drop_staged(conn, table, run.epoch)
    conn.execute(
        "DELETE FROM matengine.change WHERE datastack = %s AND epoch = %s",
        (run.datastack, run.epoch),
    )
    conn.execute("DELETE FROM matengine.expired_root WHERE run_id = %s", (run.run_id,))
    conn.execute(
        "UPDATE matengine.epoch SET sealed = clock_timestamp() WHERE datastack = %s AND epoch = %s",
        (run.datastack, run.epoch),
    )
    if run.version is not None and run.epoch is not None:
        conn.execute(
            "UPDATE matengine.version SET status = 'AVAILABLE'"
            " WHERE datastack = %s AND version = %s",
            (run.datastack, run.version),
        )
        create_views(conn, run.datastack, run.version, run.epoch, layouts)


def _refused(datastack: str, gaps: dict[str, int]) -> Conflict:
    """What to say of gaps that the datastack's policy does not allow."""
    counts = ", ".join(
        f"'{table}' has {count} {'row' if count == 1 else 'rows'}" for table, count in gaps.items()
    )
    return Conflict(
        f"{counts} with supervoxels or roots that could not be found, and '{datastack}' refuses"
        " versions with gaps.",
        f"See which: matengine lookups {next(iter(gaps))} --failed. Materialize again when they can"
        " be found, or allow gaps: matengine gap-policy publish-with-gaps.",
    )


def _tally(conn: Connection, run: Run, table: Layout) -> int:
    """Write the table's line of the epoch: the one before plus what the units did."""
    row = conn.execute(
        _TALLY,
        {
            "run": run.run_id,
            "table": table.table,
            "ds": run.datastack,
            "epoch": run.epoch,
            "modulus": MODULUS,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def _queue_rest(conn: Connection, run: Run, table: Layout) -> None:
    """Queue again the rows of the runs taken up that are not due yet: created or deleted later."""
    for kind, column in (("insert", "created"), ("delete", "deleted")):
        conn.execute(
            sql.SQL(
                """
                INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
                SELECT {datastack}, {name}, {kind}, min(id), max(id), min(due)
                FROM (SELECT id, due, id - row_number() OVER (ORDER BY id) AS run
                      FROM (SELECT DISTINCT l.id, l.{column} AS due
                            FROM matengine.change AS c JOIN {live} AS l
                              ON l.id BETWEEN c.first_id AND c.last_id
                            WHERE c.datastack = {datastack} AND c.table_name = {name}
                              AND c.kind = {kind} AND c.epoch = {epoch}
                              AND l.{column} > {time}) AS later) AS numbered
                GROUP BY run
                """
            ).format(
                datastack=sql.Literal(run.datastack),
                name=sql.Literal(table.table),
                kind=sql.Literal(kind),
                column=sql.Identifier(column),
                live=table.live,
                epoch=sql.Literal(run.epoch),
                time=sql.Literal(run.time),
            )
        )


def create_views(
    conn: Connection, datastack: str, version: int, epoch: int, layouts: list[Layout]
) -> None:
    """A schema `datastack__matN` for SQL users, with a flat read-only view for each table."""
    schema = f"{datastack}__mat{version}"
    conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    for table in layouts:
        conn.execute(
            sql.SQL(
                "CREATE VIEW {view} AS SELECT {columns} FROM {history} AS h WHERE {visible}"
            ).format(
                view=sql.Identifier(schema, table.table),
                columns=layout.names_of(table),
                history=table.history,
                visible=layout.visible("h", epoch),
            )
        )
