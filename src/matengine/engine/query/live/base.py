"""The epoch that a moment is told from, and what tells it from other moments."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql

from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph, Ids


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
    are just the base's. since: from when roots are counted that ended. ground: the same for
    moments that lie over the same. token: the same for two moments between which nothing of the
    table changed; "" where the chunkedgraph has yet to be asked.
    """

    base: Epoch | None
    settled: Epoch | None
    annotations: datetime
    segmentation: datetime
    frozen: bool
    since: datetime
    ground: str
    token: str


@dataclass(frozen=True)
class Ended:
    """(N,) int64: the roots alive at a time and not at another, and some more; and their digest."""

    roots: Ids
    digest: str


def ended(graph: ChunkedGraph, gulf: Gulf, table: Layout) -> Ended:
    """The roots that a base may show and that are not alive at a moment; asks the chunkedgraph."""
    past, future = sorted((gulf.since, gulf.segmentation))
    if past == future or not table.roots:
        return Ended(np.zeros(0, np.int64), "")
    delta = graph.delta_roots(past, future)
    digest = hashlib.sha1(delta.old_roots.tobytes() + b"|" + delta.new_roots.tobytes()).hexdigest()
    # the same operations, crossed one way or the other
    if gulf.since < gulf.segmentation:
        return Ended(delta.old_roots, f"later {digest}")
    return Ended(delta.new_roots, f"earlier {digest}")


def names(datastack: str, table: Layout, gulf: Gulf) -> dict[str, sql.Composable]:
    """What statements about a gulf speak of, the moment's annotations being `at`.

    settled, end: number and time of the epoch that settled the moment, where one has.
    """
    found: dict[str, sql.Composable] = {
        "at": sql.Literal(gulf.annotations),
        "datastack": sql.Literal(datastack),
        "table": sql.Literal(table.table),
        "live": table.live,
        "history": table.history,
    }
    if gulf.settled is not None:
        found["settled"] = sql.Literal(gulf.settled.epoch)
        found["end"] = sql.Literal(gulf.settled.time)
    return found
