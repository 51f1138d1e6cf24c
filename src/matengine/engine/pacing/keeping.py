"""Keeping a datastack close: begin an epoch where one is due, and tell how things stand."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import structlog

from matengine.engine.pacing import choice, facts, rule
from matengine.engine.pacing.rule import Pace
from matengine.engine.runs import runs
from matengine.engine.versions import epoch
from matengine.errors import MatengineError
from matengine.storage.connections import Connection

WORKFLOW = "update_database"

log = structlog.get_logger()


@dataclass(frozen=True)
class Standing:
    """How close a datastack is. own: the keys of the pace that were settled for it alone.

    epoch, time, made, rows: of the newest epoch; None and 0 where there is none. pending: rows that
    differ from it, about. due: when the next one is, as things stand. tries: in vain since.
    past: none is due as the newest is of the past. busy: a run makes one. trouble: what keeps one
    from beginning.
    """

    pace: Pace
    own: list[str]
    epoch: int | None
    time: datetime | None
    made: datetime | None
    rows: int
    pending: int
    due: datetime | None
    tries: int
    past: bool
    busy: bool
    trouble: str | None


def tick(conn: Connection, datastack: str) -> int | None:
    """Begin an epoch where one is due and nobody is making one; gives its run. Commits.

    May be called at any time, by several at once. What goes wrong is noted, and told by `standing`.
    """
    try:
        run_id = _begin(conn, datastack)
        trouble = None
    except MatengineError as error:
        conn.rollback()
        run_id, trouble = None, str(error)
    if _note(conn, datastack, trouble) and trouble:
        log.warning("not kept close", datastack=datastack, trouble=trouble)
    conn.commit()
    return run_id


def _note(conn: Connection, datastack: str, trouble: str | None) -> bool:
    """Note what is wrong; true where that is news."""
    return bool(
        conn.execute(
            "INSERT INTO matengine.pace AS p (datastack, trouble) SELECT %(datastack)s, %(trouble)s"
            " WHERE %(trouble)s::text IS DISTINCT FROM"
            "   (SELECT trouble FROM matengine.pace WHERE datastack = %(datastack)s)"
            " ON CONFLICT (datastack) DO UPDATE SET trouble = excluded.trouble",
            {"datastack": datastack, "trouble": trouble},
        ).rowcount
    )


def _begin(conn: Connection, datastack: str) -> int | None:
    pace = choice.get(conn, datastack)
    if not pace.active:
        return None
    found = facts.gather(conn, datastack, pace)
    moment = rule.due(pace, found.seen)
    if found.busy or moment is None or moment > found.now:
        return None
    run_id = epoch.start(conn, datastack, WORKFLOW, publish_version=False, paced=True)
    log.info("keeping close", datastack=datastack, run=run_id, pending=found.seen.pending)
    return run_id


def standing(conn: Connection, datastack: str) -> Standing:
    """How close a datastack is, without asking its chunkedgraph; raises NotFound."""
    pace = choice.get(conn, datastack)
    found = facts.gather(conn, datastack, pace, look=False)
    row = conn.execute(
        "SELECT trouble FROM matengine.pace WHERE datastack = %s", (datastack,)
    ).fetchone()
    newest = found.newest
    return Standing(
        pace=pace,
        own=list(choice.settled(conn, datastack)),
        epoch=newest.epoch if newest else None,
        time=newest.time if newest else None,
        made=newest.sealed if newest else None,
        rows=found.seen.rows,
        pending=found.seen.pending,
        due=rule.due(pace, found.seen),
        tries=found.seen.tries,
        past=found.seen.past,
        busy=found.busy,
        trouble=row[0] if row else None,
    )


def told(datastack: str, standing: Standing) -> dict[str, Any]:
    """A standing as a flat record, with the pace as people write it."""
    return {
        "datastack": datastack,
        **choice.told(standing.pace),
        **{f.name: getattr(standing, f.name) for f in fields(Standing) if f.name != "pace"},
    }


def tidy(conn: Connection, datastack: str, before: datetime) -> int:
    """Forget the runs that made epochs by themselves and ended before a time; gives how many."""
    return conn.execute(
        "DELETE FROM matengine.run WHERE datastack = %s AND status <> 'running' AND finished < %s"
        " AND (parameters ->> %s)::boolean AND epoch < ("
        "  SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL)",
        (datastack, before, runs.PACED, datastack),
    ).rowcount
