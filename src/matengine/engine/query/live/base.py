"""The epoch that a moment is told from, and what has changed between the two."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from psycopg import sql

from matengine.engine.query.moments import Moment
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph, Ids
from matengine.storage.connections import Connection

# edits are committed within this time, whatever time they bear
_LATE = timedelta(hours=1)


@dataclass(frozen=True)
class Epoch:
    """A kept epoch that has the table."""

    epoch: int
    time: datetime


@dataclass(frozen=True)
class Gulf:
    """What lies between a base (None: nothing is kept) and a moment of one table.

    settled: the first kept epoch at or after the moment; whatever it does not know came too late
    for the moment. annotations, segmentation: the moment on either axis. frozen: its annotations
    are just the base's. since: from when roots are counted that ended. roots: (N,) int64, those
    alive then and not at the moment, and some more. unrooted: the chunkedgraph began later, and
    nothing has a root. ground: the same for moments that lie over the same. token: the same for
    two moments between which nothing of the table changed.
    """

    base: Epoch | None
    settled: Epoch | None
    annotations: datetime
    segmentation: datetime
    frozen: bool
    since: datetime
    roots: Ids
    unrooted: bool
    ground: str
    token: str


def look(conn: Connection, moment: Moment, table: Layout, graph: ChunkedGraph) -> Gulf:
    """Where a moment of a table stands. Asks the chunkedgraph once; twice, if it is earlier."""
    base, settled = _around(conn, moment.datastack, table.table, moment.annotations)
    frozen = base is not None and base.epoch == moment.annotation_epoch
    since = base.time if base else _beginning(conn, moment, graph)
    unrooted = moment.time < since and moment.time < graph.oldest_timestamp()
    if unrooted or not table.roots:
        roots, edits = np.zeros(0, np.int64), "unrooted" if unrooted else ""
    else:
        roots, edits = _between(graph, since, moment.time)
    ground = repr((base, settled, since.isoformat(), frozen))
    changes = () if frozen else _annotations(conn, moment.datastack, table, moment.annotations)
    token = hashlib.sha1(repr((ground, edits, *map(str, changes))).encode()).hexdigest()
    return Gulf(
        base,
        settled,
        moment.annotations,
        moment.time,
        frozen,
        since,
        roots,
        unrooted,
        ground,
        token,
    )


def _around(
    conn: Connection, datastack: str, table: str, at: datetime
) -> tuple[Epoch | None, Epoch | None]:
    """The latest epoch up to `at`, else the first one after; and the first one from `at` on."""
    kept = """
        SELECT e.epoch, e.time FROM matengine.epoch AS e
        WHERE e.datastack = %(datastack)s AND e.sealed IS NOT NULL AND e.collected IS NULL
          AND EXISTS (SELECT FROM matengine.epoch_table AS t
            WHERE (t.datastack, t.epoch, t.table_name) = (e.datastack, e.epoch, %(table)s))
          AND e.time """
    rows = conn.execute(
        f"(SELECT *, true FROM ({kept} <= %(at)s ORDER BY e.time DESC LIMIT 1) AS b)"  # noqa: S608
        f" UNION ALL (SELECT *, false FROM ({kept} >= %(at)s ORDER BY e.time LIMIT 1) AS a)",
        {"datastack": datastack, "table": table, "at": at},
    ).fetchall()
    found = {before: Epoch(epoch, time) for epoch, time, before in rows}
    return found.get(True, found.get(False)), found.get(False)


def _beginning(conn: Connection, moment: Moment, graph: ChunkedGraph) -> datetime:
    """From when edits are counted where no epoch has the table: the same for many moments."""
    row = conn.execute(
        "SELECT max(time) FROM matengine.epoch WHERE datastack = %s AND time <= %s"
        " AND sealed IS NOT NULL AND collected IS NULL",
        (moment.datastack, moment.time),
    ).fetchone()
    if row and row[0]:
        found: datetime = row[0]
        return found
    day = (moment.time - _LATE).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(day, graph.oldest_timestamp())


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
