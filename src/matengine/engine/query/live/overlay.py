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
from matengine.engine.query.live import differing, rows, states
from matengine.engine.query.live.base import Gulf
from matengine.engine.query.live.states import State
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection, conninfo_of, open_connection
from matengine.storage.names import joined

# how long a state with roots that are not known counts as the latest word
RETRY = timedelta(seconds=5)
# overlays that nobody has asked for since so long are dropped
UNUSED = timedelta(minutes=10)
# a table with more rows of the past than so many, and three for each of its own, is made anew
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


def at(conn: Connection, datastack: str, table: Layout, gulf: Gulf, graph: ChunkedGraph) -> Overlay:
    """The overlay of a moment; made, on a connection of its own, where nobody has yet."""
    found = states.find(conn, datastack, table, gulf, RETRY, UNUSED)
    if found is None or not found.noted:
        with open_connection(conninfo_of(conn)) as own:
            # one maker at a time; those who waited find what it made
            own.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"overlay {table.name}",)
            )
            found = states.find(own, datastack, table, gulf, RETRY, UNUSED)
            if found is None or not states.note(own, found):
                found = _make(own, datastack, table, gulf, graph)
            own.commit()
    epoch = gulf.base.epoch if gulf.base else None
    return Overlay(found.name, found.step, epoch, found.size, found.unresolved)


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
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, graph: ChunkedGraph
) -> State:
    """The next step after the latest state before the moment; a new table where there is none."""
    before = states.before(conn, datastack, table, gulf, RETRY)
    done = states.roots(conn, before) if before else np.zeros(0, np.int64)
    ended = np.setdiff1d(gulf.roots, done)
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
    differing.collect(conn, datastack, table, gulf, before, ended)
    segmentation = datastacks.get(conn, datastack).segmentation
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
    states.enter(conn, datastack, table, gulf, made, seen, ended if goes_on else gulf.roots)
    return made


def _goes_on(conn: Connection, before: State) -> bool:
    """Whether a state may be followed by another in its table."""
    worn = before.past > MOST_PAST and before.past > 3 * before.size
    return not worn and states.is_last(conn, before)
