"""Minimum cuts against every subset, and against exact flows."""

from collections import defaultdict, deque
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.local.mincut import minimum_cut
from matengine.testing.graph import MemoryGraph, as_edge
from matengine.times import parse_time

START = parse_time("2026-01-01")

nodes = st.integers(0, 6)
pairs = st.tuples(nodes, nodes).filter(lambda e: e[0] != e[1]).map(lambda e: as_edge(*e))
weights = st.one_of(
    st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, float("inf")]),
    st.floats(2.0**-20, 1.0, width=32),
)


def cut_by(
    edges: dict[tuple[int, int], float], n: int, sources: set[int], sinks: set[int]
) -> set[tuple[int, int]]:
    ends = np.array(list(edges), np.int64).reshape(-1, 2)
    weight = np.array(list(edges.values()), np.float32).astype(np.float64)
    cut = minimum_cut(
        n, ends[:, 0], ends[:, 1], weight,
        np.array(sorted(sources), np.int64), np.array(sorted(sinks), np.int64),
    )  # fmt: skip
    return {(a, b) for a, b in ends[cut].tolist()}


@given(
    st.dictionaries(pairs, weights, min_size=4),
    st.permutations(range(7)),
    st.integers(1, 3),
    st.integers(4, 6),
)
@settings(deadline=None, max_examples=300)
def test_the_cut_is_the_lightest_of_all(
    edges: dict[tuple[int, int], float], order: list[int], first: int, last: int
) -> None:
    sources, sinks = set(order[:first]), set(order[last:])
    exact = {e: float(np.float32(w)) for e, w in edges.items()}
    graph = MemoryGraph(START, exact, range(7))
    try:
        expected = graph.minimum_cut(set(range(7)), sources, sinks)
    except Invalid:
        with pytest.raises(Invalid):
            cut_by(exact, 7, sources, sinks)
        return
    assert cut_by(exact, 7, sources, sinks) == expected


@pytest.mark.parametrize("spread", [0, 3, 6])
@pytest.mark.parametrize("seed", range(8))
def test_the_cut_weighs_what_flows(seed: int, spread: int) -> None:
    """Max-flow min-cut, in fractions; a wide spread of weights needs many 32-bit rounds."""
    rng = np.random.default_rng(seed)
    n = 40
    ends = np.unique(np.sort(rng.integers(0, n, (160, 2)), axis=1), axis=0)
    ends = ends[ends[:, 0] != ends[:, 1]]
    weight = (10.0 ** rng.uniform(-spread, 0, len(ends))).astype(np.float32)
    edges = {(a, b): float(w) for (a, b), w in zip(ends.tolist(), weight.tolist(), strict=True)}
    cut = cut_by(edges, n, {0}, {n - 1})
    assert sum(Fraction(edges[e]) for e in cut) == maximum_flow_value(edges, 0, n - 1)


def maximum_flow_value(edges: dict[tuple[int, int], float], source: int, sink: int) -> Fraction:
    """Shortest augmenting paths (Edmonds, Karp 1972) in exact arithmetic."""
    left: dict[int, dict[int, Fraction]] = defaultdict(dict)
    for (a, b), weight in edges.items():
        left[a][b] = left[b][a] = Fraction(weight)
    total = Fraction(0)
    while True:
        before = {source: source}
        queue = deque([source])
        while queue and sink not in before:
            here = queue.popleft()
            for there, room in left[here].items():
                if room and there not in before:
                    before[there] = here
                    queue.append(there)
        if sink not in before:
            return total
        path = [sink]
        while path[-1] != source:
            path.append(before[path[-1]])
        steps = list(zip(path[1:], path, strict=False))
        sent = min(left[a][b] for a, b in steps)
        for a, b in steps:
            left[a][b] -= sent
            left[b][a] += sent
        total += sent


def test_a_node_cannot_be_on_both_sides() -> None:
    with pytest.raises(Invalid):
        cut_by({(0, 1): 1.0, (1, 2): 1.0}, 3, {0, 1}, {1, 2})


def test_a_long_thin_object_is_cut_at_its_weakest_edge() -> None:
    n = 20_000
    a = np.arange(n - 1)
    weight = np.full(n - 1, np.float32(0.7), np.float64)
    weight[12_345] = np.nextafter(np.float32(0.7), np.float32(0))
    cut = minimum_cut(n, a, a + 1, weight, np.array([3]), np.array([n - 2]))
    assert np.flatnonzero(cut).tolist() == [12_345]
