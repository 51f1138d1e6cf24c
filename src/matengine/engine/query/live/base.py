"""The epoch that a moment is told from, and what has changed between the two."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql

from matengine.engine.query.moments import Moment
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph, Ids
from matengine.storage.connections import Connection


@dataclass(frozen=True)
class Base:
    """A kept epoch, its time, and whether it has the table; the next one kept, if there is one."""

    epoch: int
    time: datetime
    has_table: bool
    following: int | None


@dataclass(frozen=True)
class Gulf:
    """What lies between a base (None: nothing is kept) and a moment of one table.

    annotations, segmentation: the moment on either axis. frozen: its annotations are just the
    base's. roots: (N,) int64, those that the base may show and that are not alive at the moment.
    unrooted: none is, as the chunkedgraph began later. token: the same for two moments between
    which nothing of the table changed.
    """

    base: Base | None
    annotations: datetime
    segmentation: datetime
    frozen: bool
    roots: Ids | None
    unrooted: bool
    token: str


def find(conn: Connection, datastack: str, table: str, at: datetime) -> Base | None:
    """The latest epoch up to `at` that is kept, else the first one after."""
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
    return None if row is None else Base(*row)


def look(conn: Connection, moment: Moment, table: Layout, graph: ChunkedGraph) -> Gulf:
    """Where a moment of a table stands. Asks the chunkedgraph once; twice, if it is earlier."""
    nearest = find(conn, moment.datastack, table.table, moment.annotations)
    # from an epoch without the table nothing can be told of it
    base = nearest if nearest and nearest.has_table else None
    frozen = base is not None and base.epoch == moment.annotation_epoch
    changes = () if frozen else _annotations(conn, moment.datastack, table, moment.annotations)
    roots, unrooted = None, False
    if nearest is None or (base is None and moment.time < nearest.time):
        edits = moment.time.isoformat() + moment.annotations.isoformat()
    elif base is None:
        edits = f"{nearest.epoch} {_between(graph, nearest.time, moment.time)[1]}"
    elif not table.roots:
        edits = ""
    elif moment.time < base.time and moment.time < graph.oldest_timestamp():
        unrooted, edits = True, "unrooted"
    else:
        roots, edits = _between(graph, base.time, moment.time)
    token = _token(base, frozen, edits, changes)
    return Gulf(base, moment.annotations, moment.time, frozen, roots, unrooted, token)


def _between(graph: ChunkedGraph, shown: datetime, wanted: datetime) -> tuple[Ids, str]:
    """The roots alive at `shown` and not at `wanted`, and some more; and what tells them apart."""
    past, future = min(shown, wanted), max(shown, wanted)
    if past == future:
        return np.zeros(0, np.int64), ""
    delta = graph.delta_roots(past, future)
    edits = hashlib.sha1(delta.old_roots.tobytes() + b"|" + delta.new_roots.tobytes())
    # the same operations, crossed one way or the other
    way = "later" if shown < wanted else "earlier"
    return (delta.old_roots if shown < wanted else delta.new_roots), way + edits.hexdigest()


def _annotations(
    conn: Connection, datastack: str, table: Layout, at: datetime
) -> tuple[object, ...]:
    """What tells two moments of the annotations apart: the last change, and those in the queue.

    Queued changes are counted too, as one with an earlier number may commit later; and each epoch
    empties the queue.
    """
    row = conn.execute(
        sql.SQL(
            "SELECT (SELECT max(created) FROM {live} WHERE created <= %(at)s),"
            " (SELECT max(deleted) FROM {live} WHERE deleted <= %(at)s), count(*), max(seq),"
            " (SELECT max(epoch) FROM matengine.epoch"
            " WHERE datastack = %(datastack)s AND sealed IS NOT NULL)"
            " FROM matengine.change"
            " WHERE datastack = %(datastack)s AND table_name = %(table)s AND due <= %(at)s"
        ).format(live=table.live),
        {"at": at, "datastack": datastack, "table": table.table},
    ).fetchone()
    assert row is not None
    return tuple(row)


def _token(base: Base | None, frozen: bool, edits: str, annotations: tuple[object, ...]) -> str:
    told = (base and (base.epoch, base.following), frozen, edits, *map(str, annotations))
    return hashlib.sha1(repr(told).encode()).hexdigest()
