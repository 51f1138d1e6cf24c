"""Runs: start, look at, cancel. What a run does is its workflow's business."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from matengine.errors import NotFound
from matengine.storage.connections import Connection

# the phase of a run that waits for one before it to end
TURN = "turn"
# the parameter of runs that nobody asked for
PACED = "paced"

_SELECT = (
    "SELECT run_id, datastack, workflow, epoch, version, time, previous, phase, status, error,"
    " parameters, started, beat, finished FROM matengine.run"
)


@dataclass(frozen=True)
class Run:
    """A run as the catalogue has it.

    `epoch`, `time` and `previous` (the time of the epoch before) are set where it makes an epoch,
    `version` where it publishes one.
    """

    run_id: int
    datastack: str
    workflow: str
    epoch: int | None
    version: int | None
    time: datetime | None
    previous: datetime | None
    phase: str
    status: str
    error: str | None
    parameters: dict[str, Any]
    started: datetime
    beat: datetime
    finished: datetime | None

    @property
    def is_paced(self) -> bool:
        """Whether the scheduler began it by itself, so that others need not give way to it."""
        return bool(self.parameters.get(PACED))


@dataclass(frozen=True)
class Tally:
    """How far the units of a run are; `faults` tell where some stumbled, and over what."""

    done: int
    total: int
    faults: list[str]


def enter(
    conn: Connection,
    datastack: str,
    workflow: str,
    *,
    epoch: int | None = None,
    version: int | None = None,
    time: datetime | None = None,
    phase: str = "wait",
    **parameters: Any,
) -> int:
    """Write the row of a new run and give its number.

    Raises psycopg's UniqueViolation where it makes an epoch, or waits for its turn to make one,
    and another run does so too.
    """
    row = conn.execute(
        "INSERT INTO matengine.run (datastack, workflow, epoch, version, time, parameters, phase)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING run_id",
        (datastack, workflow, epoch, version, time, Jsonb(parameters), phase),
    ).fetchone()
    assert row is not None
    return int(row[0])


def take_turn(conn: Connection, run_id: int, *, epoch: int, previous: datetime | None) -> None:
    """Let a run begin that waited for its turn, with the epoch that it makes.

    Raises psycopg's UniqueViolation where another run makes one.
    """
    conn.execute(
        "UPDATE matengine.run SET phase = 'wait', epoch = %s, previous = %s,"
        " started = now(), beat = now() WHERE run_id = %s",
        (epoch, previous, run_id),
    )


def making(conn: Connection, datastack: str) -> Run | None:
    """The run that has the datastack to itself: it makes an epoch, or writes histories anew."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            _SELECT + " WHERE datastack = %s AND status = 'running' AND epoch IS NOT NULL",
            (datastack,),
        ).fetchone()


def get(conn: Connection, run_id: int) -> Run:
    """One run; raises NotFound."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        run = cursor.execute(_SELECT + " WHERE run_id = %s", (run_id,)).fetchone()
    if run is None:
        raise NotFound(f"There is no run {run_id}.", "See: matengine runs.")
    return run


def lock(conn: Connection, run_id: int, *, wait: bool) -> Run | None:
    """A running run, held until the transaction ends.

    None where it is not running any more, or, without `wait`, where another process holds it.
    """
    # not FOR UPDATE: units that enter units refer to this row
    ending = "FOR NO KEY UPDATE" if wait else "FOR NO KEY UPDATE SKIP LOCKED"
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            _SELECT + " WHERE run_id = %s AND status = 'running' " + ending, (run_id,)
        ).fetchone()


def listed(
    conn: Connection, datastack: str | None = None, limit: int = 50, *, paced: bool = True
) -> list[Run]:
    """The latest runs, newest first. Those that nobody asked for only where they matter, or all."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            _SELECT + " WHERE (%s::text IS NULL OR datastack = %s)"
            " AND (%s OR NOT parameters ? %s OR status IN ('running', 'failed'))"
            " ORDER BY run_id DESC LIMIT %s",
            (datastack, datastack, paced, PACED, limit),
        ).fetchall()


def running(conn: Connection) -> list[int]:
    """The runs that have not ended."""
    rows = conn.execute("SELECT run_id FROM matengine.run WHERE status = 'running' ORDER BY 1")
    return [int(run_id) for (run_id,) in rows]


def touch(conn: Connection, run_id: int) -> None:
    """Note that a run which waits for its turn is not forgotten."""
    conn.execute("UPDATE matengine.run SET beat = now() WHERE run_id = %s", (run_id,))


def ahead(conn: Connection, run_id: int) -> list[int]:
    """The run that another one waits for, where it does."""
    rows = conn.execute(
        "SELECT o.run_id FROM matengine.run AS r JOIN matengine.run AS o USING (datastack)"
        " WHERE r.run_id = %s AND r.status = 'running' AND r.phase = %s"
        " AND o.status = 'running' AND o.epoch IS NOT NULL",
        (run_id, TURN),
    )
    return [int(found) for (found,) in rows]


def tally(conn: Connection, run_id: int) -> Tally:
    """How far a run is."""
    row = conn.execute(
        "SELECT count(*) FILTER (WHERE state = 'done'), count(*), ARRAY("
        "  SELECT format('%%s of %%s, attempt %%s: %%s', kind, table_name, max(attempts), error)"
        "  FROM matengine.unit WHERE run_id = %(run)s AND error IS NOT NULL"
        "  GROUP BY kind, table_name, error ORDER BY min(unit_id))"
        " FROM matengine.unit WHERE run_id = %(run)s",
        {"run": run_id},
    ).fetchone()
    assert row is not None
    return Tally(*row)


def silence(conn: Connection, run_id: int) -> timedelta:
    """For how long nothing has been heard of a run: no phase begun, no unit done or kept alive."""
    row = conn.execute(
        "SELECT clock_timestamp() - greatest(r.beat, max(u.lease_until), max(u.finished))"
        " FROM matengine.run AS r LEFT JOIN matengine.unit AS u USING (run_id)"
        " WHERE r.run_id = %s GROUP BY r.run_id",
        (run_id,),
    ).fetchone()
    assert row is not None
    quiet: timedelta = row[0]
    return quiet


def end(conn: Connection, run_id: int, status: str, error: str | None = None) -> None:
    """Close a run; its status is one of done, failed, cancelled."""
    conn.execute(
        "UPDATE matengine.run SET status = %s, error = %s, finished = now(), beat = now()"
        " WHERE run_id = %s",
        (status, error, run_id),
    )
