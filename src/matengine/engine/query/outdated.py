"""Root ids in filters that are not alive at the moment of a query, and those in their place.

What is in the place of a root is told by the chunkedgraph's lineage: its descendants at a later
moment, its ancestors at an earlier one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from matengine.engine import datastacks
from matengine.engine.query import values
from matengine.engine.query.model import Filter, Op, Query, Roots
from matengine.engine.query.relation import Relation
from matengine.errors import Invalid, NotFound
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection
from matengine.times import now, to_ms

# root ids of one query that are looked into, that are translated, and that are spoken of
MOST_CHECKED = 200_000
MOST_TRANSLATED = 10_000
MOST_TOLD = 10
_NAMING = (Op.IN, Op.NOT_IN, Op.EQUAL)


@dataclass(frozen=True)
class Outdated:
    """A root id that a moment does not have, and the ids in its place there, sorted."""

    root: int
    instead: list[int]
    known: bool = True

    def __str__(self) -> str:
        if not self.known:
            return f"The chunkedgraph does not know the root id {self.root}."
        if not self.instead:
            return f"The root id {self.root} is not of this time, nor is any in its place."
        ids = ", ".join(map(str, self.instead))
        return f"The root id {self.root} is not of this time; in its place there was: {ids}."


@dataclass(frozen=True)
class Settled:
    """A query with filters that need no further look at their root ids.

    translated: which ids stand for those given that are of another time. told: what whoever asked
    is to know of them.
    """

    query: Query
    translated: dict[int, list[int]] = field(default_factory=dict)
    told: tuple[str, ...] = ()


def settle(
    conn: Connection,
    datastack: str,
    at: datetime,
    query: Query,
    relations: Mapping[str, Relation],
    alive: set[int],
) -> Settled:
    """Do with the root ids in the filters what the query says; `at` is the segmentation's moment.

    They are those of "in", "not in" and "equal" on columns with roots, of views too. Those in
    `alive` are known to live at the moment, and others that do are added to it. Raises
    Invalid for ids that are refused and where there are too many, Unavailable where a
    chunkedgraph's server does not answer. Asks the chunkedgraph once where all are alive.
    """
    plain = replace(query, roots=Roots.LEFT, translate_roots=False)
    if query.roots is Roots.LEFT and not query.translate_roots:
        return Settled(query)
    asked = [root for root in roots_named(query.filters, relations) if root not in alive]
    if not asked:
        return Settled(plain)
    if len(asked) > MOST_CHECKED:
        raise Invalid(
            f"{len(asked)} root ids are too many to look into.", f"Ask for {MOST_CHECKED} at most."
        )
    graph = datastacks.graph_of(conn, datastack)
    gone = _not_alive(graph, asked, at)
    if len(alive) < MOST_CHECKED:
        alive.update(set(asked).difference(gone))
    if not query.translate_roots:
        if gone and query.roots is Roots.REFUSED:
            raise _refusal(_judge(graph, gone[:MOST_TOLD], at), len(gone))
        return Settled(plain, told=_told(_judge(graph, gone[:MOST_TOLD], at), len(gone)))
    if len(gone) > MOST_TRANSLATED:
        raise Invalid(
            f"{len(gone)} root ids of other times are too many to translate.",
            f"Ask for {MOST_TRANSLATED} at most.",
        )
    judged = _judge(graph, gone, at)
    lost = [found for found in judged if not found.instead]
    if lost and query.roots is Roots.REFUSED:
        raise _refusal(lost[:MOST_TOLD], len(lost))
    translated = {found.root: found.instead for found in judged if found.instead}
    filters = tuple(
        _translated(f, translated) if _names_roots(f, relations) else f for f in query.filters
    )
    told = (*_replaced(translated), *_told(lost[:MOST_TOLD], len(lost)))
    return Settled(replace(plain, filters=filters), translated, told)


def outdated(
    conn: Connection, datastack: str, at: datetime, roots: Iterable[int]
) -> list[Outdated]:
    """Those of the root ids that do not live at a time; ids are few.

    Raises Unavailable where a chunkedgraph's server does not answer.
    """
    graph = datastacks.graph_of(conn, datastack)
    return _judge(graph, _not_alive(graph, list(roots), at), at)


def roots_named(filters: Iterable[Filter], relations: Mapping[str, Relation]) -> list[int]:
    """The root ids that filters name, each once; what can be no root id is left out."""
    found: dict[int, None] = {}
    for asked in filters:
        if _names_roots(asked, relations):
            found.update(dict.fromkeys(root for root in _values(asked) if root > 0))
    return list(found)


def _names_roots(asked: Filter, relations: Mapping[str, Relation]) -> bool:
    relation = relations.get(asked.table)
    column = relation.by_name.get(asked.column) if relation else None
    return asked.op in _NAMING and column is not None and column.is_root


def _values(asked: Filter) -> list[int]:
    given = [asked.value] if asked.op is Op.EQUAL else asked.value
    return values.check_all(pa.int64(), given, f"The filter '{asked.op}' on '{asked.column}'")


def _translated(asked: Filter, instead: Mapping[int, list[int]]) -> Filter:
    new = dict.fromkeys(i for root in _values(asked) for i in instead.get(root, [root]))
    return replace(asked, op=Op.NOT_IN if asked.op is Op.NOT_IN else Op.IN, value=list(new))


def _not_alive(graph: ChunkedGraph, roots: list[int], at: datetime) -> list[int]:
    ids = np.array(roots, np.int64)
    gone: list[int] = ids[~graph.is_latest(ids, at)].tolist()
    return gone


def _judge(graph: ChunkedGraph, roots: list[int], at: datetime) -> list[Outdated]:
    """What is in the place of root ids that are not alive at a time, in their order."""
    created = _created(graph, roots)
    earlier = [root for root, ms in created.items() if ms <= to_ms(at)]
    later = [root for root, ms in created.items() if ms > to_ms(at)]
    instead: dict[int, list[int]] = {}
    if earlier:
        instead |= graph.latest_ids(earlier, at)
    if later:
        found = graph.past_ids(later, at, now())
        instead |= {root: [i for i in found[root] if i != root] for root in later}
    return [Outdated(root, instead.get(root, []), root in created) for root in roots]


def _created(graph: ChunkedGraph, roots: list[int]) -> dict[int, int]:
    """When roots were made, in ms; those that the chunkedgraph does not know are left out."""
    if not roots:
        return {}
    try:
        return dict(zip(roots, graph.root_timestamps(roots).tolist(), strict=True))
    except NotFound:
        if len(roots) == 1:
            return {}
        half = len(roots) // 2
        return _created(graph, roots[:half]) | _created(graph, roots[half:])


def _refusal(judged: list[Outdated], count: int) -> Invalid:
    return Invalid(
        " ".join(_told(judged, count)),
        "Ask for ids of that time, or with translate_root_ids, or allow_invalid_root_ids.",
    )


def _replaced(translated: Mapping[int, list[int]]) -> Iterator[str]:
    if translated:
        some = list(translated.items())[:MOST_TOLD]
        pairs = "; ".join(f"{root} by {', '.join(map(str, ids))}" for root, ids in some)
        more = "; and more" if len(some) < len(translated) else ""
        yield f"{len(translated)} root ids of other times were replaced: {pairs}{more}."


def _told(judged: list[Outdated], count: int) -> tuple[str, ...]:
    told = tuple(map(str, judged))
    more = count - len(judged)
    return (*told, f"{more} more root ids are not of this time.") if more else told
