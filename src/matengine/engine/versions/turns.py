"""Turns: whoever asks for an epoch waits behind one that nobody asked for, if only a little.

An epoch that the scheduler began is work that the one asked for need not do. So it is not undone,
unless it has done nothing yet: then it makes way at once. A run that waits has the phase `turn`
and no epoch; whoever moves runs on lets it begin when it is alone.
"""

import structlog

from matengine.engine.runs import runs
from matengine.engine.runs.runs import Run
from matengine.engine.versions import undo
from matengine.storage.connections import Connection

log = structlog.get_logger()


def ahead(conn: Connection, datastack: str) -> Run | None:
    """The paced run that another run of a locked datastack must wait for, if there is one.

    One that has not begun to collect is cancelled instead.
    """
    found = runs.making(conn, datastack)
    if found is None or not found.is_paced:
        return None
    held = runs.lock(conn, found.run_id, wait=False) if found.phase == "wait" else None
    if held is None or held.phase != "wait":
        return found
    undo.undo(conn, held)
    runs.end(conn, held.run_id, "cancelled", "made way for a run that somebody asked for")
    log.info("made way", run=held.run_id, datastack=datastack)
    return None


def renumber(conn: Connection, run: Run, epoch: int) -> None:
    """Let the version of a run that waited be of an epoch: the one before may have come to nothing.

    A version keeps the epoch that it was entered with, so it is entered anew.
    """
    conn.execute(
        """
        WITH gone AS (
          DELETE FROM matengine.version
          WHERE datastack = %(datastack)s AND version = %(version)s AND epoch <> %(epoch)s
          RETURNING *)
        INSERT INTO matengine.version
          (datastack, version, epoch, status, created, expires_on, pinned, note, name)
        SELECT datastack, version, %(epoch)s, status, created, expires_on, pinned, note, name
        FROM gone
        """,
        {"datastack": run.datastack, "version": run.version, "epoch": epoch},
    )


def take_back(conn: Connection, run: Run) -> None:
    """Undo a run, whether its turn has come or not."""
    if run.epoch is not None:
        undo.undo(conn, run)
        return
    conn.execute(
        "UPDATE matengine.version SET status = 'FAILED' WHERE datastack = %s AND version = %s",
        (run.datastack, run.version),
    )
