"""Undoing an epoch that did not come to its end."""

from psycopg import sql

from matengine.engine.lookup import failures
from matengine.engine.runs.runs import Run
from matengine.engine.versions import layout
from matengine.engine.versions.layout import OPEN, Layout
from matengine.storage.connections import Connection


def undo(conn: Connection, run: Run) -> None:
    """Take back all that the run wrote, so that the next epoch finds what this one found.

    The cost is that of what it wrote: its row versions are found by the BRIN on from_epoch, and
    each row that it closed has one of them (the new version, or the tombstone).
    """
    for table in layout.of_run(conn, run):
        _reopen(conn, run, table)
        layout.drop_staged(conn, table, run.epoch)
    conn.execute(
        "UPDATE matengine.change SET epoch = NULL WHERE datastack = %s AND epoch = %s",
        (run.datastack, run.epoch),
    )
    conn.execute("DELETE FROM matengine.expired_root WHERE run_id = %s", (run.run_id,))
    failures.take_back(conn, run)
    conn.execute(
        "DELETE FROM matengine.epoch WHERE datastack = %s AND epoch = %s AND sealed IS NULL",
        (run.datastack, run.epoch),
    )
    conn.execute(
        "UPDATE matengine.version SET status = 'FAILED' WHERE datastack = %s AND version = %s",
        (run.datastack, run.version),
    )


def _reopen(conn: Connection, run: Run, table: Layout) -> None:
    names = {
        "history": table.history,
        "epoch": sql.Literal(run.epoch),
        "before": sql.Literal((run.epoch or 0) - 1),
        "open": sql.Literal(OPEN),
    }
    for statement in (
        """
        UPDATE {history} AS h SET to_epoch = {open}
        FROM (SELECT id FROM {history} AS n
              WHERE n.from_epoch + 0 > {before} AND n.from_epoch + 0 <= {epoch}) AS written
        WHERE h.id = written.id AND h.to_epoch = {epoch} AND h.from_epoch < {epoch}
        """,
        """
        DELETE FROM {history}
        WHERE from_epoch + 0 > {before} AND from_epoch + 0 <= {epoch}
        """,
    ):
        conn.execute(sql.SQL(statement).format(**names))
