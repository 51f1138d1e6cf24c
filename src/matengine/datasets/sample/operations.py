"""Which operations proofreaders make, and when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from matengine.datasets.sample.agglomeration import UNCUTTABLE, Agglomeration, components
from matengine.datasets.sample.plan import Plan

Ints = NDArray[np.int64]

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 60
DAY_MS = 24 * 3600 * 1000

_CUT_SHARE = 0.5
"""Share of the false merges that are split by sources and sinks alone."""

_LARGEST_SLIP, _MOST_CUT = 12, 10


@dataclass
class Operation:
    """One operation; edges are numbers of the agglomeration's, ms is since START.

    A split with `by_cut` names no edges: they are the smallest cut between sources and sinks.
    """

    kind: Literal["merge", "split"]
    edges: Ints
    by_cut: bool = False
    sources: list[int] = field(default_factory=list)
    sinks: list[int] = field(default_factory=list)
    ms: int = 0


def plan_history(plan: Plan, found: Agglomeration, rng: np.random.Generator) -> list[Operation]:
    """All operations in time order. Whatever the order, the end is exactly the true objects."""
    merges, needed = _needed_merges(found, rng)
    splits = [_split(found, bundle, rng) for bundle in found.bundles]
    kept = found.start & found.true
    kept[needed] = True
    idle = _idle(plan, found, kept, rng)
    undone = _wrong_merges(found) + _wrong_splits(plan, found, rng)
    return _scheduled(merges + splits + idle, undone, rng)


def _needed_merges(found: Agglomeration, rng: np.random.Generator) -> tuple[list[Operation], Ints]:
    """One merge for each link of a forest over the parts of the true objects."""
    inner = found.start & found.true
    part = components(len(found.object_of), found.a[inner], found.b[inner])
    missing = np.flatnonzero(found.true & ~found.start)
    left, right = part[found.a[missing]], part[found.b[missing]]
    count = int(part.max()) + 1
    low, high = np.minimum(left, right), np.maximum(left, right)
    key = low * count + high
    order = np.argsort(key, kind="stable")
    pairs, first = np.unique(key[order], return_index=True)
    pairs, first = pairs[pairs // count != pairs % count], first[pairs // count != pairs % count]
    last = np.searchsorted(key[order], pairs, "right")
    weight = rng.uniform(1, 2, len(pairs))
    graph = coo_matrix((weight, (pairs // count, pairs % count)), (count, count))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    chosen = np.sort(np.searchsorted(pairs, tree.row.astype(np.int64) * count + tree.col))
    operations = []
    for link in chosen:
        edges = missing[order[first[link] : last[link]]]
        # where two parts touch more than once, a merge sometimes draws more than one edge
        operations.append(Operation("merge", np.sort(edges[: int(rng.integers(1, 3))])))
    used = [operation.edges for operation in operations]
    return operations, np.concatenate([missing[:0], *used])


def _split(found: Agglomeration, bundle: Ints, rng: np.random.Generator) -> Operation:
    """The split of a false merge, with its ends as source and sink."""
    source, sink = int(found.a[bundle[0]]), int(found.b[bundle[0]])
    return Operation("split", bundle, bool(rng.random() < _CUT_SHARE), [source], [sink])


def _idle(
    plan: Plan, found: Agglomeration, kept: NDArray[np.bool_], rng: np.random.Generator
) -> list[Operation]:
    """Merges inside one object, and splits of edges that its connection does not need."""
    count = plan.idle_operations
    edges = np.flatnonzero(kept)
    weight = rng.uniform(1, 2, len(edges))
    shape = (len(found.object_of),) * 2
    forest = minimum_spanning_tree(coo_matrix((weight, (found.a[edges], found.b[edges])), shape))
    rows, cols = forest.tocoo().coords
    needed = np.isin(_key(found.a, found.b), _key(rows.astype(np.int64), cols.astype(np.int64)))
    spare = np.flatnonzero(found.start & found.true & ~needed & (found.affinity != UNCUTTABLE))
    spare = rng.permutation(spare)[:count]
    half = len(spare) // 2
    added = [Operation("merge", edge[None]) for edge in spare[:half]]
    removed = [
        Operation("split", edge[None], False, [int(found.a[edge])], [int(found.b[edge])])
        for edge in spare[half:]
    ]
    return added + removed


def _key(a: Ints, b: Ints) -> Ints:
    key: Ints = np.minimum(a, b) << 32 | np.maximum(a, b)
    return key


def _wrong_merges(found: Agglomeration) -> list[tuple[Operation, Operation]]:
    """Merges of two true objects, each with the split that undoes it."""
    return [
        (
            Operation("merge", edge[None]),
            Operation("split", edge[None], False, [int(found.a[edge])], [int(found.b[edge])]),
        )
        for edge in found.wrong
    ]


def _wrong_splits(
    plan: Plan, found: Agglomeration, rng: np.random.Generator
) -> list[tuple[Operation, Operation]]:
    """Splits that cut a twig off its object, each with the merge that puts it back."""
    inner = np.flatnonzero(found.start & found.true)
    count = len(found.object_of)
    ends = (np.r_[found.a[inner], found.b[inner]], np.r_[found.b[inner], found.a[inner]])
    links = coo_matrix((np.r_[inner, inner] + 1, ends), (count, count)).tocsr()
    undone: list[tuple[Operation, Operation]] = []
    for seed in rng.integers(0, count, plan.mistakes * 20):
        if len(undone) == plan.mistakes:
            break
        twig = _twig(links, found.affinity, int(seed), int(rng.integers(1, _LARGEST_SLIP)))
        outer = np.isin(found.a[inner], twig) != np.isin(found.b[inner], twig)
        cut = inner[outer]
        if 0 < len(cut) <= _MOST_CUT:
            source, sink = int(found.a[cut[0]]), int(found.b[cut[0]])
            undone.append(
                (Operation("split", cut, False, [source], [sink]), Operation("merge", cut))
            )
    return undone


def _twig(links: coo_matrix, affinity: Ints, seed: int, size: int) -> Ints:
    """About `size` supervoxels around a seed, never half of a fragment cut at a chunk's face."""
    twig, waiting = {seed}, [seed]
    while waiting:
        here = waiting.pop(0)
        begin, end = links.indptr[here], links.indptr[here + 1]
        for other, edge in zip(links.indices[begin:end], links.data[begin:end], strict=True):
            tied = affinity[edge - 1] == UNCUTTABLE
            if int(other) not in twig and (tied or len(twig) < size):
                twig.add(int(other))
                waiting.append(int(other))
    return np.array(sorted(twig), np.int64)


def _scheduled(
    single: list[Operation], pairs: list[tuple[Operation, Operation]], rng: np.random.Generator
) -> list[Operation]:
    """Random distinct milliseconds over the days; of a pair the first comes first.

    About one in a hundred follows one millisecond after the operation before it.
    """
    placed = list(zip(rng.random(len(single)).tolist(), single, strict=True))
    for first, second in pairs:
        early, late = sorted(rng.random(2).tolist())
        placed += [(early, first), (late, second)]
    operations = [operation for _, operation in sorted(placed, key=lambda place: place[0])]
    count = len(operations)
    # slots of ten milliseconds leave room for followers
    slots = np.sort(rng.choice(DAYS * DAY_MS // 10 - 1, count, replace=False)) + 1
    times = slots * 10
    for i in np.sort(rng.permutation(np.arange(1, count))[: count // 100 + 1]):
        times[i] = times[i - 1] + 1
    for operation, ms in zip(operations, times, strict=True):
        operation.ms = int(ms)
    return operations
