"""Overlays: the rows in which a moment differs from an epoch, kept for all who ask about it.

An overlay is an unlogged table of the schema `live`. It goes on in steps, as history does in
epochs: what has changed since its last moment ends some of its rows and adds others, and earlier
moments are read as before. A crash of PostgreSQL empties it together with the list of its steps,
so none can be taken for complete that is not.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from psycopg import errors as pg
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.datastacks import LOCAL, Segmentation
from matengine.engine.query.live import base, differing, makers, rows, states
from matengine.engine.query.live.base import Ended, Gulf
from matengine.engine.query.live.look import look
from matengine.engine.query.live.states import State
from matengine.engine.query.moments import Moment
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.errors import Unavailable
from matengine.storage.connections import Connection
from matengine.storage.names import joined

# how long one waits for another to make an overlay
PATIENCE = "60s"
# how long a state with roots that are not known counts as the latest word
RETRY = timedelta(seconds=5)
# overlays that nobody has asked for since so long are dropped
UNUSED = timedelta(minutes=10)
# a table with so many rows of the past, and three more for each of its own, is made anew
MOST_PAST = 20_000


@dataclass(frozen=True)
class Overlay:
    """A step of a table of all ids that differ; those `shown` are rows of the moment.

    epoch: what it lies over; None where it is everything. size: of all ids. unresolved: rows with
    a root that is not known yet.
    """

    name: str
    step: int
    epoch: int | None
    size: int
    unresolved: int

    @property
    def rows(self) -> sql.Identifier:
        return sql.Identifier("live", self.name)


def at(conn: Connection, moment: Moment, table: Layout, segmentation: Segmentation) -> Overlay:
    """The overlay of a moment; made, on a connection of its own, where nobody has yet."""
    graph = None if segmentation.graph == LOCAL else datastacks.open_graph(conn, segmentation)
    gulf, state = look(conn, moment, table, graph, None)
    told = None
    if graph is not None:
        told = base.ended(graph, gulf, table)
        gulf, state = look(conn, moment, table, graph, told)
    if state is None or _wants_retry(state) or state.idle > UNUSED / 4:
        with makers.connection(conn) as own:
            _wait_for_others(own, table)
            gulf, state = look(own, moment, table, graph, told)
            if state is None or _wants_retry(state) or not states.note(own, state):
                state = _make(own, moment.datastack, table, gulf, segmentation, told)
    epoch = gulf.base.epoch if gulf.base else None
    return Overlay(state.name, state.step, epoch, state.size, state.unresolved)


def complete(conn: Connection, moment: Moment, table: Layout) -> tuple[str, str, int] | None:
    """Token, name and step of a table's overlay over the embedded chunkedgraph.

    None where it has yet to be made, lacks roots, or nobody has used it lately.
    """
    gulf, state = look(conn, moment, table, None, None)
    if state is None or state.unresolved or state.idle > UNUSED / 4:
        return None
    return gulf.token, state.name, state.step


def _wait_for_others(conn: Connection, table: Layout) -> None:
    """One maker at a time; those who waited find what it made. Raises Unavailable in the end."""
    conn.execute("SELECT set_config('lock_timeout', %s, true)", (PATIENCE,))
    try:
        conn.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"overlay {table.name}",)
        )
    except pg.LockNotAvailable:
        raise Unavailable(
            f"Rows of '{table.table}' are being prepared for somebody else.", "Ask again soon."
        ) from None
    conn.execute("SET LOCAL lock_timeout TO 0")


def _wants_retry(state: State) -> bool:
    return state.unresolved > 0 and state.age >= RETRY


def sweep(conn: Connection, unused: timedelta = UNUSED) -> int:
    """Drop the overlays that nobody has asked for lately, and tables that are in no list.

    One that is being read stays until the next sweep. Returns how many there were.
    """
    old = [
        name
        for (name,) in conn.execute(
            "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'live'::regnamespace"
            " AND c.relkind = 'r' AND NOT EXISTS (SELECT FROM matengine.overlay AS o"
            " WHERE o.name = c.relname AND o.used >= now() - %s)",
            (unused,),
        )
    ]
    for name in old:
        with suppress(pg.LockNotAvailable), conn.transaction():
            conn.execute("SET LOCAL lock_timeout TO '1s'")
            conn.execute(
                "DELETE FROM matengine.overlay AS o WHERE name = %(name)s AND NOT EXISTS (SELECT"
                " FROM matengine.overlay WHERE name = %(name)s AND used >= now() - %(unused)s)",
                {"name": name, "unused": unused},
            )
            again = "SELECT FROM matengine.overlay WHERE name = %s"
            if not conn.execute(again, (name,)).rowcount:
                conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("live", name)))
    return len(old)


def _make(
    conn: Connection,
    datastack: str,
    table: Layout,
    gulf: Gulf,
    segmentation: Segmentation,
    told: Ended | None,
) -> State:
    """The next step after the latest state before the moment; a new table where there is none."""
    graph = datastacks.open_graph(conn, segmentation)
    gone = (told or base.ended(graph, gulf, table)).roots
    before = states.before(conn, datastack, table, gulf, gone)
    done = states.roots(conn, before) if before else np.zeros(0, np.int64)
    new = np.setdiff1d(gone, done)
    (seen,) = conn.execute("SELECT pg_current_snapshot()::text").fetchone() or ("",)
    goes_on = before is not None and _goes_on(conn, before)
    step, past = (before.step + 1, before.past) if before and goes_on else (1, 0)
    name = before.name if before and goes_on else joined(table.name, secrets.token_hex(8))
    if not goes_on:
        layout.create(conn, table)
        rows.create(conn, table, name)
    if before is not None and not goes_on:
        rows.copy(conn, before.name, before.step, name)
        rows.index(conn, table, name)
        step = 2
    retry = before is not None and _wants_retry(before)
    differing.collect(conn, datastack, table, gulf, before, new, retry=retry)
    written = rows.write(conn, table, gulf, datastack, segmentation, graph, name, step)
    if step == 1:
        rows.index(conn, table, name)
    size, unresolved = (before.size, before.unresolved) if before else (0, 0)
    made = State(
        name,
        step,
        size + written.rows - written.closed,
        unresolved + written.unresolved - written.closed_unresolved,
        past + written.closed,
    )
    states.enter(conn, datastack, table, gulf, made, seen, new if goes_on else gone)
    return made


def _goes_on(conn: Connection, before: State) -> bool:
    """Whether a state may be followed by another in its table."""
    worn = before.past > MOST_PAST + 3 * before.size
    return not worn and states.is_last(conn, before)
