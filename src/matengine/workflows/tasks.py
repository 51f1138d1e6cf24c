"""The tasks. Each carries two names at most: the aligned volume and a run or unit."""

import structlog

from matengine import times
from matengine.engine import datastacks
from matengine.engine.pacing import choice, keeping
from matengine.engine.query.live import overlay
from matengine.engine.runs import engine, runs, units
from matengine.engine.versions import dropping, garbage
from matengine.engine.versions.retention import Policy
from matengine.storage.connections import aligned_volumes, database_url, open_connection
from matengine.workflows.app import app

log = structlog.get_logger()

# the queues of units that would keep others waiting
QUEUE_OF = {"bulk": "bulk", "table_index": "bulk", "compact": "bulk"}


@app.task(name="matengine.advance")
def advance(aligned_volume: str, run_id: int) -> None:
    """Move a run on as far as it goes and send out the units that are ready."""
    with open_connection(database_url(aligned_volume)) as conn:
        while engine.advance(conn, run_id):
            pass
        send(aligned_volume, units.to_send(conn))


@app.task(name="matengine.unit")
def unit(aligned_volume: str, unit_id: int) -> None:
    """Do one unit; send out those that it entered; the last one of a phase moves its run on."""
    with open_connection(database_url(aligned_volume)) as conn:
        if not engine.execute(conn, unit_id):
            return
        run_id = units.run_if_last(conn, unit_id)
        if run_id is None:
            send(aligned_volume, units.to_send(conn))
    if run_id is not None:
        advance.delay(aligned_volume, run_id)


@app.task(name="matengine.sweep")
def sweep() -> None:
    """Find what messages failed to bring about: lost ones, dead workers, runs that stand still."""
    for aligned_volume in aligned_volumes():
        try:
            _sweep(aligned_volume)
        except Exception as error:
            # one that is out of order shall not hold up the others; the next sweep tries again
            log.warning("sweep failed", aligned_volume=aligned_volume, error=repr(error))


def _sweep(aligned_volume: str) -> None:
    with open_connection(database_url(aligned_volume)) as conn:
        found = runs.running(conn)
        conn.commit()
        for run_id in found:
            while engine.advance(conn, run_id):
                pass
        send(aligned_volume, units.to_send(conn))
        overlay.sweep(conn)
        conn.commit()


# acknowledged at once: what a killed one leaves is for the next
@app.task(name="matengine.pace", acks_late=False)
def pace() -> None:
    """Bring the datastacks up to date in which so much has changed that it is worth it."""
    for aligned_volume in aligned_volumes():
        try:
            begun = _pace(aligned_volume)
        except Exception as error:
            log.warning("not kept close", aligned_volume=aligned_volume, error=repr(error))
            continue
        for run_id in begun:
            advance.delay(aligned_volume, run_id)


def _pace(aligned_volume: str) -> list[int]:
    with open_connection(database_url(aligned_volume)) as conn:
        begun = [keeping.tick(conn, datastack) for datastack in datastacks.names(conn)]
        return [run_id for run_id in begun if run_id is not None]


# as before
@app.task(name="matengine.expire", acks_late=False)
def expire(keep_unpinned: int | None = None) -> None:
    """Drop the versions whose time has come, and collect what only they showed.

    `keep_unpinned`: also all but so many of the newest versions that nobody has pinned.
    """
    for aligned_volume in aligned_volumes():
        with open_connection(database_url(aligned_volume)) as conn:
            for datastack in datastacks.names(conn):
                try:
                    dropping.expire_due(conn, datastack, times.now(), Policy(keep_unpinned))
                    keep = choice.get(conn, datastack).keep
                    garbage.collect(conn, datastack, live_horizon=keep)
                    keeping.tidy(conn, datastack, times.now() - keep)
                    conn.commit()
                except Exception as error:
                    conn.rollback()
                    log.warning("removal failed", datastack=datastack, error=repr(error))


def send(aligned_volume: str, wanted: list[tuple[int, str]]) -> None:
    """Send a message for each unit, given with its kind, to the queue of that kind."""
    for unit_id, kind in wanted:
        unit.apply_async((aligned_volume, unit_id), queue=QUEUE_OF.get(kind, "lookup"))
