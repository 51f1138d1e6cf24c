"""Making an epoch: pick a time, then collect, resolve, apply and publish what changed."""

import time
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from matengine import times
from matengine.engine import datastacks
from matengine.engine.datastacks import Segmentation
from matengine.engine.runs import runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.versions import apply, first, layout, metadata, publish, rebase, turns
from matengine.errors import Conflict, Invalid
from matengine.storage import writers
from matengine.storage.connections import Connection

# an edit of the embedded chunkedgraph that is being made is waited for; none takes this long
EDIT_DEADLINE = "60s"
# where nobody asked for the epoch, those who wait for the datastack do not wait for that, too
PACED_DEADLINE = "1s"


def start(
    conn: Connection,
    datastack: str,
    workflow: str,
    *,
    at: datetime | None = None,
    publish_version: bool,
    expires_on: datetime | None = None,
    note: str = "",
    paced: bool = False,
) -> int:
    """Begin an epoch at `at` (default: the latest time that is final); gives the run. Commits.

    paced: nobody asked for it. Where such a one is under way, another run waits for its turn.
    Raises Invalid for a time that is not after the last epoch's, lies ahead or before the
    segmentation began, and Conflict where another run is making an epoch or an edit never ends.
    """
    with conn.transaction():
        stack = datastacks.lock(conn, datastack)
        ahead = None if paced else turns.ahead(conn, datastack)
        last, previous = (ahead.epoch, ahead.time) if ahead else _latest(conn, datastack)
        graph = datastacks.open_graph(conn, stack.segmentation)
        moment = _moment(conn, at, previous, graph.settle)
        if moment < graph.oldest_timestamp():
            raise Invalid(
                f"{moment.isoformat()} is before the segmentation began.",
                f"It began at {graph.oldest_timestamp().isoformat()}.",
            )
        _settle(conn, stack.segmentation, moment, PACED_DEADLINE if paced else EDIT_DEADLINE)
        version = next_version(conn, datastack) if publish_version else None
        marks: dict[str, Any] = {runs.PACED: True} if paced else {}
        try:
            with conn.transaction():
                run_id = runs.enter(
                    conn,
                    datastack,
                    workflow,
                    version=version,
                    time=moment,
                    phase=runs.TURN,
                    writers=writers.listed(conn),
                    at=at and at.isoformat(),
                    **marks,
                )
                if version is not None:
                    _enter_version(conn, datastack, version, (last or 0) + 1, expires_on, note)
                if ahead is None:
                    _begin(conn, runs.get(conn, run_id))
        except psycopg.errors.UniqueViolation:
            raise _taken(conn, datastack) from None
    conn.commit()
    return run_id


def _enter_version(
    conn: Connection,
    datastack: str,
    version: int,
    epoch: int,
    expires_on: datetime | None,
    note: str,
) -> None:
    conn.execute(
        "INSERT INTO matengine.version (datastack, version, epoch, status, expires_on, note)"
        " VALUES (%s, %s, %s, 'RUNNING', %s, %s)",
        (datastack, version, epoch, expires_on, note),
    )


def take_turn(conn: Connection, run: Run) -> bool:
    """Let a run begin that waits for its turn; False where another run is not done yet."""
    datastacks.lock(conn, run.datastack)
    if runs.making(conn, run.datastack) is not None:
        runs.touch(conn, run.run_id)
        return False
    turns.renumber(conn, run, _latest(conn, run.datastack)[0] + 1)
    _begin(conn, run)
    return True


def _begin(conn: Connection, run: Run) -> None:
    """Open the epoch that a run makes; raises UniqueViolation where another run makes one."""
    last, previous = _latest(conn, run.datastack)
    runs.take_turn(conn, run.run_id, epoch=last + 1, previous=previous)
    conn.execute(
        "INSERT INTO matengine.epoch (datastack, epoch, time) VALUES (%s, %s, %s)",
        (run.datastack, last + 1, run.time),
    )


def _latest(conn: Connection, datastack: str) -> tuple[int, datetime | None]:
    """The newest sealed epoch and its time; 0 and None before the first."""
    row = conn.execute(
        "SELECT coalesce(max(epoch), 0), max(time) FROM matengine.epoch"
        " WHERE datastack = %s AND sealed IS NOT NULL",
        (datastack,),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _taken(conn: Connection, datastack: str) -> Conflict:
    """What to say where another run has the datastack."""
    row = conn.execute(
        "SELECT max(run_id) FROM matengine.run"
        " WHERE datastack = %s AND status = 'running' AND (epoch IS NOT NULL OR phase = %s)",
        (datastack, runs.TURN),
    ).fetchone()
    run = row[0] if row and row[0] else "RUN"
    return Conflict(
        f"Another run is making an epoch of '{datastack}', or writes its histories anew.",
        f"Wait for it, see: matengine runs {run}; if nobody works on it:"
        f" matengine runs {run} --resume, or --cancel.",
    )


def _settle(conn: Connection, segmentation: Segmentation, moment: datetime, deadline: str) -> None:
    """Make the roots as of the epoch's time final; raises Conflict where an edit does not end."""
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (deadline,))
            datastacks.settle(conn, segmentation, moment)
            conn.execute("SET LOCAL lock_timeout = 0")
    except psycopg.errors.LockNotAvailable:
        raise Conflict(
            "A transaction that edits the chunkedgraph has been open for too long.",
            "End it and try again.",
        ) from None


def _moment(
    conn: Connection, at: datetime | None, previous: datetime | None, settle: timedelta
) -> datetime:
    latest = times.floor_ms(_clock(conn) - settle)
    moment = latest if at is None else times.floor_ms(at)
    if at is None and previous is not None and settle == timedelta():
        while moment <= previous:  # two epochs within a millisecond
            time.sleep(0.001)
            moment = times.floor_ms(_clock(conn))
    elif moment > latest:
        raise Invalid(
            f"{moment.isoformat()} is not final yet.", f"The latest time is {latest.isoformat()}."
        )
    if previous is not None and moment <= previous:
        raise Invalid(
            f"{moment.isoformat()} is not after the last epoch, {previous.isoformat()}.",
            "Versions are made in the order of time.",
        )
    return moment


def _clock(conn: Connection) -> datetime:
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def next_version(conn: Connection, datastack: str) -> int:
    """The number of the datastack's next version; it must be locked."""
    row = conn.execute(
        "SELECT coalesce(max(version), 0) + 1 FROM matengine.version WHERE datastack = %s",
        (datastack,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def ready(conn: Connection, run: Run) -> bool:
    """Whether all transactions have ended that were writing when the time was picked."""
    return not set(run.parameters["writers"]) & set(writers.listed(conn))


def plan_collect(conn: Connection, run: Run) -> None:
    """Take up the changes that are due, find the roots that expired, once for all tables."""
    conn.execute(
        "UPDATE matengine.change SET epoch = %s"
        " WHERE datastack = %s AND epoch IS NULL AND due <= %s",
        (run.epoch, run.datastack, run.time),
    )
    expired = _enter_expired_roots(conn, run)
    settled = layout.settle(conn, run)
    metadata.record(conn, run)
    for table in settled:
        layout.create(conn, table)
        if expired or _has_work(conn, run, table.table):
            layout.create_staged(conn, table, run.epoch, twice=expired > 0)
            units.plan(conn, run.run_id, "collect", table.table)


def _enter_expired_roots(conn: Connection, run: Run) -> int:
    if run.previous is None or run.time is None:
        return 0
    segmentation = datastacks.get(conn, run.datastack).segmentation
    graph = datastacks.open_graph(conn, segmentation)
    roots = graph.delta_roots(run.previous, run.time).old_roots
    conn.execute(
        "INSERT INTO matengine.expired_root (run_id, root_id) SELECT %s, unnest(%s::bigint[])",
        (run.run_id, roots.tolist()),
    )
    conn.execute("ANALYZE matengine.expired_root")
    return len(roots)


def _has_work(conn: Connection, run: Run, table: str) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT 1 FROM matengine.change"
        "   WHERE datastack = %(ds)s AND table_name = %(table)s AND epoch = %(epoch)s)"
        " OR EXISTS (SELECT 1 FROM matengine.lookup_failure"
        "   WHERE datastack = %(ds)s AND table_name = %(table)s AND NOT permanent)",
        {"ds": run.datastack, "table": table, "epoch": run.epoch},
    ).fetchone()
    assert row is not None
    return bool(row[0])


def plan_nothing(conn: Connection, run: Run) -> None:
    """A phase whose units are there already, entered by the transaction that found the rows."""


def plan_apply(conn: Connection, run: Run) -> None:
    """Cut the staged rows of each table into ranges of roots, or have all of it written anew."""
    collected = units.tables(conn, run.run_id, "collect")
    for table in layout.of_run(conn, run):
        if table.table not in collected:
            continue
        if not publish.has_history(conn, table, run):
            units.plan(conn, run.run_id, first.KIND, table.table, first.ranges(conn, table, run))
        elif rebase.due(conn, run, table):
            units.plan(conn, run.run_id, rebase.KIND, table.table)
        else:
            units.plan(conn, run.run_id, "apply", table.table, apply.ranges(conn, table, run))


def plan_index(conn: Connection, run: Run) -> None:
    """Build the indexes of histories that this epoch began, after their rows are in.

    A unit each, by its place among them, and one more for the planner's statistics.
    """
    for table in layout.of_run(conn, run):
        if not publish.has_history(conn, table, run):
            places = range(len(layout.indexes(table)) + 1)
            units.plan(conn, run.run_id, "index", table.table, [(place, place) for place in places])
            if units.tables(conn, run.run_id, first.KIND) >= {table.table}:
                units.plan(conn, run.run_id, first.FORGET, table.table)


def build_index(conn: Connection, run: Run, unit: units.Unit) -> None:
    """The work of an index unit."""
    assert unit.first_id is not None
    table = layout.of_unit(conn, run, unit)
    units.hold(conn, unit)
    statements = [*layout.indexes(table), sql.SQL("ANALYZE {}").format(table.history)]
    conn.execute(statements[unit.first_id])
    units.finish(conn, unit, units.Effect())
    conn.commit()
