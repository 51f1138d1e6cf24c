"""Root ids that are not of a moment, and which were in their place."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from matengine.engine import datastacks
from matengine.engine.query.model import Filter, Op
from matengine.errors import Invalid, NotFound
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection
from matengine.times import now

_ROOT = "root_id"
# root ids of one query that are looked into, and that an error names
MOST_CHECKED = 200_000
MOST_TOLD = 10


@dataclass(frozen=True)
class Outdated:
    """A root id that a moment does not have, and the ids that cover the same there."""

    root: int
    instead: list[int]
    known: bool = True

    def __str__(self) -> str:
        if not self.known:
            return f"The chunkedgraph does not know the root id {self.root}."
        if not self.instead:
            return f"The root id {self.root} is not of this time."
        ids = ", ".join(map(str, self.instead))
        return f"The root id {self.root} is not of this time; in its place there was: {ids}."


def roots_asked_for(filters: Iterable[Filter], most: int) -> list[int]:
    """The root ids that filters want, at most so many."""
    found: dict[int, None] = {}
    for asked in filters:
        if not asked.column.endswith(_ROOT) or asked.op not in (Op.IN, Op.EQUAL):
            continue
        values = [asked.value] if asked.op is Op.EQUAL else asked.value
        for value in values:
            try:
                root = int(value)
            except (TypeError, ValueError):
                continue
            if 0 < root < 2**63:
                found[root] = None
            if len(found) == most:
                return list(found)
    return list(found)


def refuse_outdated(
    conn: Connection, datastack: str, at: datetime, filters: Iterable[Filter]
) -> None:
    """Raise Invalid where filters want root ids that do not live at a time, naming those that do.

    Raises Unavailable where a chunkedgraph's server does not answer.
    """
    roots = roots_asked_for(filters, MOST_CHECKED)
    if not roots:
        return
    graph, gone = _gone(conn, datastack, at, roots)
    if gone:
        told = " ".join(str(_judge(graph, root, at)) for root in gone[:MOST_TOLD])
        more = f" So are {len(gone) - MOST_TOLD} more." if len(gone) > MOST_TOLD else ""
        raise Invalid(f"{told}{more}", "Ask for the ids of that time, or allow_invalid_root_ids.")


def outdated(
    conn: Connection, datastack: str, at: datetime, roots: Iterable[int]
) -> list[Outdated]:
    """Those of the root ids that do not live at a time; ids are few.

    Raises Unavailable where a chunkedgraph's server does not answer.
    """
    graph, gone = _gone(conn, datastack, at, list(roots))
    return [_judge(graph, root, at) for root in gone]


def _gone(
    conn: Connection, datastack: str, at: datetime, roots: list[int]
) -> tuple[ChunkedGraph, list[int]]:
    """The chunkedgraph, and those of the root ids that do not live at a time."""
    graph = datastacks.open_graph(conn, datastacks.get(conn, datastack).segmentation)
    ids = np.array(roots, np.int64)
    return graph, ids[~graph.is_latest(ids, at)].tolist()


def _judge(graph: ChunkedGraph, root: int, at: datetime) -> Outdated:
    try:
        later = graph.latest_ids([root], at)[root]
        if later:
            return Outdated(root, later)
        earlier = graph.past_ids([root], at, now())[root]
        return Outdated(root, [i for i in earlier if i != root])
    except NotFound:
        return Outdated(root, [], known=False)
