"""Overlays: the rows in which a moment differs from an epoch, kept for all who ask about it.

An overlay is an unlogged table of the schema `live`. A crash of PostgreSQL empties it together
with the list of overlays, so none can be taken for complete that is not.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from psycopg import errors as pg
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.query.live import differing, rows
from matengine.engine.query.live.base import Gulf
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.errors import Unavailable
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection, conninfo_of, open_connection
from matengine.storage.names import joined

# how long an overlay with roots that are not known counts as the latest word
RETRY = timedelta(seconds=5)
# overlays that nobody has asked for since so long are dropped
UNUSED = timedelta(minutes=10)


@dataclass(frozen=True)
class Overlay:
    """`name` is that of a table of all ids that differ; those `shown` are rows of the moment.

    epoch: what it lies over; None where it is everything. size: of all ids. unresolved: rows with
    a root that is not known yet.
    """

    name: str
    epoch: int | None
    size: int
    unresolved: int

    @property
    def rows(self) -> sql.Identifier:
        return sql.Identifier("live", self.name)


def at(conn: Connection, datastack: str, table: Layout, gulf: Gulf, graph: ChunkedGraph) -> Overlay:
    """The overlay of a moment; made, on a connection of its own, where nobody has yet."""
    found = _find(conn, datastack, table, gulf)
    if found is not None:
        return found
    with open_connection(conninfo_of(conn)) as own:
        # one maker at a time; those who waited find what it made
        own.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"overlay {table.name}",)
        )
        found = _find(own, datastack, table, gulf)
        if found is None:
            found = _renewed(own, datastack, table, gulf, graph)
        own.commit()
    return found


def _renewed(
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, graph: ChunkedGraph
) -> Overlay:
    """A new overlay; while the old one, with roots not known, is still being read, that one."""
    try:
        with conn.transaction():
            return _make(conn, datastack, table, gulf, graph)
    except pg.LockNotAvailable:
        found = _find(conn, datastack, table, gulf, outdated=True)
        if found is None:
            raise Unavailable("An overlay is in use.", "Try again in a moment.") from None
        return found


def sweep(conn: Connection, unused: timedelta = UNUSED) -> int:
    """Drop the overlays that nobody has asked for lately, and tables that are in no list.

    One that is being read stays until the next sweep. Returns how many there were.
    """
    old = [
        name
        for (name,) in conn.execute(
            "SELECT c.relname FROM pg_class AS c LEFT JOIN matengine.overlay AS o"
            " ON o.name = c.relname WHERE c.relnamespace = 'live'::regnamespace"
            " AND c.relkind = 'r' AND (o.name IS NULL OR o.used < now() - %s)",
            (unused,),
        )
    ]
    for name in old:
        with suppress(pg.LockNotAvailable), conn.transaction():
            conn.execute("SET LOCAL lock_timeout TO '1s'")
            conn.execute(
                "DELETE FROM matengine.overlay WHERE name = %s AND used < now() - %s",
                (name, unused),
            )
            again = "SELECT FROM matengine.overlay WHERE name = %s"
            if not conn.execute(again, (name,)).rowcount:
                _drop(conn, name)
    return len(old)


def _drop(conn: Connection, name: str) -> None:
    """Drop the table, if there is one; raises LockNotAvailable where it is being read."""
    conn.execute("SET LOCAL lock_timeout TO '1s'")
    conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier("live", name)))
    conn.execute("SET LOCAL lock_timeout TO 0")


def _find(
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, *, outdated: bool = False
) -> Overlay | None:
    """The overlay, if it is there; one with roots not known counts for a while, or `outdated`."""
    row = conn.execute(
        "SELECT name, size, unresolved, used < now() - %s FROM matengine.overlay"
        " WHERE datastack = %s AND table_name = %s AND token = %s"
        " AND (unresolved = 0 OR %s OR made > now() - %s)",
        (UNUSED / 4, datastack, table.table, gulf.token, outdated, RETRY),
    ).fetchone()
    if row is None:
        return None
    name, size, unresolved, note = row
    if note:
        noted = conn.execute("UPDATE matengine.overlay SET used = now() WHERE name = %s", (name,))
        if not noted.rowcount:
            return None  # it is being dropped
    return _overlay(name, gulf, size, unresolved)


def _make(
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, graph: ChunkedGraph
) -> Overlay:
    layout.create(conn, table)
    name = joined(table.name, gulf.token[:16])
    _drop(conn, name)
    differing.collect(conn, datastack, table, gulf)
    segmentation = datastacks.get(conn, datastack).segmentation
    size, unresolved = rows.write(conn, table, gulf, datastack, segmentation, graph, name)
    conn.execute(
        "INSERT INTO matengine.overlay (name, datastack, table_name, token, size, unresolved)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE"
        " SET size = excluded.size, unresolved = excluded.unresolved, made = now(), used = now()",
        (name, datastack, table.table, gulf.token, size, unresolved),
    )
    return _overlay(name, gulf, size, unresolved)


def _overlay(name: str, gulf: Gulf, size: int, unresolved: int) -> Overlay:
    epoch = gulf.base.epoch if gulf.base else None
    return Overlay(name, epoch, size, unresolved)
