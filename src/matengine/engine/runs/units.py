"""Units: the pieces of a run that workers do, each with a lease.

A row that a transaction holds is being finished by a living worker: whoever looks for units to
take over, to send or to keep alive passes it by and never waits for it.
"""

import os
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import psycopg
from psycopg.rows import class_row

from matengine.errors import Unavailable
from matengine.storage.connections import Connection, open_connection

LEASE_S = 15  # a dead worker's unit goes to another after this
BEAT_S = 4
RESEND_S = 20  # a message not taken up by then is thought lost
MAX_ATTEMPTS = 5
# Messages that a run may have out: enough for many workers, few enough that none waits in its queue
# so long that it is thought lost and sent again, which would make the queue longer still.
WINDOW = 100


@dataclass(frozen=True)
class Unit:
    """A claimed unit; `worker` is the token that only the claimant has."""

    unit_id: int
    run_id: int
    kind: str
    table_name: str
    first_id: int | None
    last_id: int | None
    attempts: int
    worker: str


@dataclass
class Effect:
    """What a unit did to its table, added up when its epoch is published."""

    rows_added: int = 0
    rows_closed: int = 0
    count_change: int = 0
    hash_change: int = 0
    gap_change: int = 0

    def __add__(self, other: Self) -> "Effect":
        return Effect(
            self.rows_added + other.rows_added,
            self.rows_closed + other.rows_closed,
            self.count_change + other.count_change,
            self.hash_change + other.hash_change,
            self.gap_change + other.gap_change,
        )


class LeaseLost(Exception):
    """Somebody else has the unit now, or its run has ended: what was done must not be kept."""


def plan(
    conn: Connection,
    run_id: int,
    kind: str,
    table: str,
    ranges: Sequence[tuple[int | None, int | None]] = ((None, None),),
) -> None:
    """Enter units of one kind for a table, one for each closed range; None is an open end."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO matengine.unit (run_id, kind, table_name, first_id, last_id)"
            " VALUES (%s, %s, %s, %s, %s)",
            [(run_id, kind, table, *r) for r in ranges],
        )


def tables(conn: Connection, run_id: int, kind: str) -> set[str]:
    """The tables that have units of a kind."""
    rows = conn.execute(
        "SELECT DISTINCT table_name FROM matengine.unit WHERE run_id = %s AND kind = %s",
        (run_id, kind),
    )
    return {name for (name,) in rows}


def claim(conn: Connection, unit_id: int) -> Unit | None:
    """Take a unit that is ready, or whose holder is dead. Commits.

    None where there is nothing to do: done, taken, resting after a fault, or its run has ended.
    """
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    with conn.cursor(row_factory=class_row(Unit)) as cursor:
        unit = cursor.execute(
            """
            UPDATE matengine.unit AS u
            SET state = 'working', attempts = attempts + 1, worker = %s,
                lease_until = now() + make_interval(secs => %s)
            WHERE u.unit_id = (
              SELECT f.unit_id FROM matengine.unit AS f JOIN matengine.run AS r USING (run_id)
              WHERE f.unit_id = %s AND r.status = 'running' AND f.state IN ('ready', 'working')
                AND (f.lease_until IS NULL OR f.lease_until < now())
              FOR UPDATE OF f SKIP LOCKED)
            RETURNING u.unit_id, u.run_id, u.kind, u.table_name, u.first_id, u.last_id, u.attempts,
                      u.worker
            """,
            (worker, LEASE_S, unit_id),
        ).fetchone()
    conn.commit()
    return unit


def hold(conn: Connection, unit: Unit) -> None:
    """Begin the writing transaction of a unit; raises LeaseLost where it is no longer ours.

    Holds the row, so that a run that is being undone waits for this transaction and no other
    worker finishes the unit too.
    """
    found = conn.execute(
        "SELECT 1 FROM matengine.unit WHERE unit_id = %s AND state = 'working' AND worker = %s"
        " FOR UPDATE",
        (unit.unit_id, unit.worker),
    ).fetchone()
    if found is None:
        raise LeaseLost


def check(conn: Connection, unit: Unit) -> None:
    """Raise LeaseLost where a unit is no longer ours; in the midst of long work, holds nothing."""
    found = conn.execute(
        "SELECT 1 FROM matengine.unit WHERE unit_id = %s AND state = 'working' AND worker = %s",
        (unit.unit_id, unit.worker),
    ).fetchone()
    if found is None:
        raise LeaseLost


def finish(conn: Connection, unit: Unit, effect: Effect) -> None:
    """Mark a held unit done, in the transaction of its effects."""
    conn.execute(
        "UPDATE matengine.unit SET state = 'done', finished = now(), error = NULL,"
        " lease_until = NULL, rows_added = %s, rows_closed = %s, count_change = %s,"
        " hash_change = %s, gap_change = %s WHERE unit_id = %s",
        (
            effect.rows_added,
            effect.rows_closed,
            effect.count_change,
            effect.hash_change,
            effect.gap_change,
            unit.unit_id,
        ),
    )


def stumble(conn: Connection, unit: Unit, error: str, *, lasting: bool) -> None:
    """Note a fault: the unit rests and is tried again, or has failed for good. Commits.

    It fails for good after MAX_ATTEMPTS, or at once where trying again cannot help.
    """
    failed = lasting or unit.attempts >= MAX_ATTEMPTS
    conn.execute(
        "UPDATE matengine.unit SET state = %s, error = %s,"
        " lease_until = now() + make_interval(secs => %s), sent = NULL"
        " WHERE unit_id = %s AND state = 'working' AND worker = %s",
        (
            "failed" if failed else "ready",
            error,
            0.2 * 2**unit.attempts,
            unit.unit_id,
            unit.worker,
        ),
    )
    conn.commit()


def give_up(conn: Connection, run_id: int) -> None:
    """Fail the units of a run whose workers died in each of MAX_ATTEMPTS attempts."""
    conn.execute(
        "UPDATE matengine.unit SET state = 'failed', error = 'every worker that tried it died'"
        " WHERE unit_id IN (SELECT unit_id FROM matengine.unit WHERE run_id = %s"
        "   AND state = 'working' AND lease_until < now() AND attempts >= %s"
        "   FOR UPDATE SKIP LOCKED)",
        (run_id, MAX_ATTEMPTS),
    )


def stop(conn: Connection, run_id: int) -> None:
    """End the units of a run that are not done; waits for those that are being written.

    Later ones find their lease lost. Twice, because a unit waited for may have planned others.
    """
    for _ in range(2):
        conn.execute(
            "UPDATE matengine.unit SET state = 'failed', error = coalesce(error, 'the run ended')"
            " WHERE run_id = %s AND state IN ('ready', 'working')",
            (run_id,),
        )


def to_send(conn: Connection) -> list[tuple[int, str]]:
    """The units of running runs whose message must go out, now marked as sent, with their kinds.

    Commits. These are new units, units whose message seems lost and units whose worker seems dead;
    no more than WINDOW of a run are out at a time, the others follow as these are done.
    """
    rows = conn.execute(
        """
        WITH unfinished AS (
          SELECT f.unit_id, row_number() OVER (
            PARTITION BY f.run_id ORDER BY f.sent IS NULL, f.unit_id) AS place
          FROM matengine.unit AS f JOIN matengine.run AS r USING (run_id)
          WHERE r.status = 'running' AND f.state IN ('ready', 'working'))
        UPDATE matengine.unit AS u SET sent = now()
        WHERE u.unit_id IN (
          SELECT f.unit_id FROM matengine.unit AS f JOIN unfinished AS o USING (unit_id)
          WHERE o.place <= %s AND f.state IN ('ready', 'working')
            AND (f.lease_until IS NULL OR f.lease_until < now())
            AND (f.sent IS NULL OR f.sent < now() - make_interval(secs =>
                   CASE f.state WHEN 'ready' THEN %s ELSE %s END))
          FOR UPDATE OF f SKIP LOCKED)
        RETURNING u.unit_id, u.kind
        """,
        (WINDOW, RESEND_S, BEAT_S),
    ).fetchall()
    conn.commit()
    return sorted(rows)


def run_if_last(conn: Connection, unit_id: int) -> int | None:
    """The run of a unit where no unit of it is ready or being worked on, else None."""
    row = conn.execute(
        "SELECT u.run_id FROM matengine.unit AS u WHERE u.unit_id = %s AND NOT EXISTS ("
        "  SELECT 1 FROM matengine.unit AS o WHERE o.run_id = u.run_id"
        "  AND o.state IN ('ready', 'working'))",
        (unit_id,),
    ).fetchone()
    return None if row is None else int(row[0])


def claimable(conn: Connection, run_id: int) -> int | None:
    """One unit of a run that could be claimed now, for working without a broker."""
    row = conn.execute(
        "SELECT unit_id FROM matengine.unit WHERE run_id = %s AND state IN ('ready', 'working')"
        " AND (lease_until IS NULL OR lease_until < now()) ORDER BY unit_id LIMIT 1"
        " FOR UPDATE SKIP LOCKED",
        (run_id,),
    ).fetchone()
    return None if row is None else int(row[0])


@contextmanager
def heartbeat(conninfo: str, unit: Unit) -> Iterator[None]:
    """Keep the lease of a unit alive from a thread while its work goes on."""
    stopped = threading.Event()

    def beat() -> None:
        if stopped.wait(BEAT_S):  # most units are done before their first beat
            return
        # a lease that cannot be kept runs out, which costs time and nothing else
        with suppress(psycopg.Error, Unavailable), open_connection(conninfo, autocommit=True) as c:
            while True:
                c.execute(
                    "UPDATE matengine.unit SET lease_until = now() + make_interval(secs => %s)"
                    " WHERE unit_id = (SELECT unit_id FROM matengine.unit WHERE unit_id = %s"
                    "   AND state = 'working' AND worker = %s FOR UPDATE SKIP LOCKED)",
                    (LEASE_S, unit.unit_id, unit.worker),
                )
                if stopped.wait(BEAT_S):
                    return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
