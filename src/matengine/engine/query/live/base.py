"""The epoch that a moment is told from, and what has changed between the two."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph, Ids
from matengine.storage.connections import Connection


@dataclass(frozen=True)
class Base:
    """A kept epoch and its time; `following` is the next one kept, where there is one."""

    epoch: int
    time: datetime
    following: int | None


@dataclass(frozen=True)
class Gulf:
    """What lies between a base (None: nothing is kept) and a moment of one table.

    roots: (N,) int64, those that the base may show and that are not alive at the moment. token:
    the same for two moments between which nothing of the table changed.
    """

    base: Base | None
    time: datetime
    roots: Ids | None
    token: str


def find(conn: Connection, datastack: str, table: str, at: datetime) -> Base | None:
    """The latest epoch up to `at` that is kept, else the first one after; only if it has the table.

    From an epoch without the table nothing can be told of it.
    """
    row = conn.execute(
        """
        SELECT e.epoch, e.time, EXISTS (
          SELECT FROM matengine.epoch_table AS t
          WHERE (t.datastack, t.epoch, t.table_name) = (e.datastack, e.epoch, %(table)s)),
          (SELECT min(n.epoch) FROM matengine.epoch AS n
           WHERE n.datastack = e.datastack AND n.epoch > e.epoch
             AND n.sealed IS NOT NULL AND n.collected IS NULL)
        FROM matengine.epoch AS e
        WHERE e.datastack = %(datastack)s AND e.sealed IS NOT NULL AND e.collected IS NULL
        ORDER BY e.time > %(at)s, CASE WHEN e.time > %(at)s THEN e.time END, e.time DESC LIMIT 1
        """,
        {"datastack": datastack, "table": table, "at": at},
    ).fetchone()
    if row is None or not row[2]:
        return None
    return Base(row[0], row[1], row[3])


def look(
    conn: Connection, datastack: str, table: Layout, graph: ChunkedGraph, at: datetime
) -> Gulf:
    """Where a moment of a table stands. Asks the chunkedgraph once."""
    base = find(conn, datastack, table.table, at)
    annotations = _annotations(conn, datastack, table, at)
    if base is None:
        return Gulf(None, at, None, _token(None, at.isoformat(), annotations))
    if not table.roots:
        return Gulf(base, at, None, _token(base, "", annotations))
    if base.time <= at:
        delta = graph.delta_roots(base.time, at)
        roots = delta.old_roots
    else:
        delta = graph.delta_roots(at, base.time)
        roots = delta.new_roots
    edits = hashlib.sha1(delta.old_roots.tobytes() + b"|" + delta.new_roots.tobytes())
    return Gulf(base, at, roots, _token(base, edits.hexdigest(), annotations))


def _annotations(
    conn: Connection, datastack: str, table: Layout, at: datetime
) -> tuple[object, ...]:
    """What tells two moments of the annotations apart: the last change, and those in the queue.

    Queued changes are counted too, as one with an earlier number may commit later.
    """
    row = conn.execute(
        sql.SQL(
            "SELECT (SELECT max(created) FROM {live} WHERE created <= %(at)s),"
            " (SELECT max(deleted) FROM {live} WHERE deleted <= %(at)s), count(*), max(seq)"
            " FROM matengine.change"
            " WHERE datastack = %(datastack)s AND table_name = %(table)s AND due <= %(at)s"
        ).format(live=table.live),
        {"at": at, "datastack": datastack, "table": table.table},
    ).fetchone()
    assert row is not None
    return tuple(row)


def _token(base: Base | None, edits: str, annotations: tuple[object, ...]) -> str:
    told = (base and (base.epoch, base.following), edits, *map(str, annotations))
    return hashlib.sha1(repr(told).encode()).hexdigest()
