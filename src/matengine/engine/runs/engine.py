"""Moving runs along: advance one by a phase, execute a unit, or drive a run to its end."""

import time
from datetime import timedelta

import psycopg
import structlog

from matengine import times
from matengine.engine.runs import runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.workflow import Workflow
from matengine.engine.workflows import WORKFLOWS
from matengine.errors import Conflict, MatengineError, Unavailable
from matengine.progress import Progress, quiet
from matengine.storage.connections import Connection, conninfo_of, open_connection

log = structlog.get_logger()

WAIT_DEADLINE = timedelta(minutes=10)
# a run of which nothing has been heard for so long has no workers
SILENCE_DEADLINE = timedelta(minutes=10)
_PAUSE_S = 0.05


def advance(conn: Connection, run_id: int) -> bool:
    """Move a run one step on where nothing of its present phase is left. Commits.

    True where something moved. Any process may call this at any time, also several at once.
    """
    moved = _advance(conn, run_id)
    conn.commit()
    return moved


def _advance(conn: Connection, run_id: int) -> bool:
    with conn.transaction():
        run = runs.lock(conn, run_id, wait=False)
        if run is None:
            return False
        workflow = WORKFLOWS[run.workflow]
        units.give_up(conn, run_id)
        failed = conn.execute(
            "SELECT error FROM matengine.unit WHERE run_id = %s AND state = 'failed' LIMIT 1",
            (run_id,),
        ).fetchone()
        if failed is not None:
            _undo(conn, run, workflow, "failed", failed[0])
            return True
        try:
            with conn.transaction():
                return _step(conn, run, workflow)
        except psycopg.OperationalError:
            raise  # a lost connection, a deadlock: the next to come tries again
        except Exception as error:
            log.warning("run failed", run=run_id, phase=run.phase, error=repr(error))
            _undo(conn, run, workflow, "failed", _words(error))
            return True


def _step(conn: Connection, run: Run, workflow: Workflow) -> bool:
    unfinished = conn.execute(
        "SELECT EXISTS (SELECT 1 FROM matengine.unit WHERE run_id = %s AND state <> 'done')",
        (run.run_id,),
    ).fetchone()
    assert unfinished is not None
    if unfinished[0]:
        return False
    if run.phase == runs.TURN:
        return workflow.take_turn(conn, run)
    names = list(workflow.phases)
    if run.phase == "wait" and not workflow.ready(conn, run):
        if times.now() - run.started > WAIT_DEADLINE:
            raise Conflict(
                "A transaction that writes annotations has been open for too long.",
                "End it and start the run again.",
            )
        return False
    following = names[0] if run.phase == "wait" else names[names.index(run.phase) + 1]
    workflow.phases[following](conn, run)
    conn.execute(
        "UPDATE matengine.run SET phase = %s, beat = now() WHERE run_id = %s",
        (following, run.run_id),
    )
    if following == names[-1]:
        runs.end(conn, run.run_id, "done")
        log.info("run done", run=run.run_id, workflow=run.workflow, datastack=run.datastack)
    return True


def cancel(conn: Connection, run_id: int, reason: str = "cancelled by a user") -> None:
    """Stop a run and take back what it wrote. Commits; does nothing where it has ended."""
    with conn.transaction():
        run = runs.lock(conn, run_id, wait=True)
        if run is not None:
            _undo(conn, run, WORKFLOWS[run.workflow], "cancelled", reason)
    conn.commit()


def _undo(conn: Connection, run: Run, workflow: Workflow, status: str, reason: str) -> None:
    units.stop(conn, run.run_id)
    workflow.undo(conn, run)
    runs.end(conn, run.run_id, status, reason)
    log.warning("run undone", run=run.run_id, status=status, reason=reason)


def execute(conn: Connection, unit_id: int) -> bool:
    """Claim a unit and do it; False where there was nothing to claim. Commits.

    Faults are recorded, and leave a unit to be tried again; only a lost connection is raised.
    """
    unit = units.claim(conn, unit_id)
    if unit is None:
        return False
    run = runs.get(conn, unit.run_id)
    conn.commit()
    try:
        with units.heartbeat(conninfo_of(conn), unit):
            WORKFLOWS[run.workflow].work[unit.kind](conn, run, unit)
    except units.LeaseLost:
        conn.rollback()
    except Exception as error:
        log.warning("unit stumbled", unit=unit_id, kind=unit.kind, error=repr(error))
        if conn.broken:
            raise  # the lease runs out and another worker takes it
        conn.rollback()
        lasting = isinstance(error, MatengineError) and not isinstance(error, Unavailable)
        units.stumble(conn, unit, _words(error), lasting=lasting)
    return True


def _words(error: Exception) -> str:
    if isinstance(error, MatengineError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def drive(conninfo: str, run_id: int, progress: Progress = quiet) -> Run:
    """Work a run to its end in this process, beside whatever workers there are. Commits.

    Where it waits for its turn, so is the run before it.
    """
    with open_connection(conninfo) as conn:
        for before in runs.ahead(conn, run_id):
            conn.commit()
            drive(conninfo, before, progress)
        while True:
            moved = advance(conn, run_id)
            unit_id = units.claimable(conn, run_id)
            conn.commit()
            worked = unit_id is not None and execute(conn, unit_id)
            run = _report(conn, run_id, progress)
            if run.status != "running":
                return run
            if not (moved or worked):
                time.sleep(_PAUSE_S)


def watch(conninfo: str, run_id: int, progress: Progress = quiet) -> Run:
    """Wait until workers have brought a run to its end.

    It does nothing itself: a run that it advanced would wait for the sweeper to send its units.
    Raises Unavailable where no worker has touched the run for SILENCE_DEADLINE; it goes on when
    there is one.
    """
    with open_connection(conninfo) as conn:
        while True:
            run = _report(conn, run_id, progress)
            if run.status != "running":
                return run
            if runs.silence(conn, run_id) > SILENCE_DEADLINE:
                raise Unavailable(
                    f"No worker has touched run {run_id} for {SILENCE_DEADLINE}.",
                    f"Start workers, or do it here: matengine runs {run_id} --resume.",
                )
            conn.commit()
            time.sleep(_PAUSE_S)


def _report(conn: Connection, run_id: int, progress: Progress) -> Run:
    run = runs.get(conn, run_id)
    tally = runs.tally(conn, run_id)
    conn.commit()
    progress(tally.done, tally.total, run.phase)
    return run
