"""Parts of the sample's making against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage

from matengine.datasets.sample.agglomeration import UNCUTTABLE
from matengine.datasets.sample.lives import NEVER, give_lives
from matengine.datasets.sample.operations import DAY_MS, DAYS
from matengine.datasets.sample.pieces import connected_pieces, contacts
from matengine.datasets.sample.plan import make_plan
from matengine.datasets.sample.replay import only_smallest_cut
from matengine.errors import Invalid

BLOCKS = arrays.arrays(
    np.int32,
    st.tuples(*[st.integers(1, 5)] * 3),
    elements=st.integers(0, 3),
)


@settings(deadline=None)
@given(BLOCKS)
def test_pieces_are_those_of_a_plain_labelling(labels: NDArray[np.int32]) -> None:
    pieces, label_of = connected_pieces(labels)
    assert np.array_equal(label_of[pieces], labels)
    count = 0
    for label in np.unique(labels[labels > 0]):
        expected, found = ndimage.label(labels == label)
        count += found
        for number in range(1, found + 1):
            assert len(np.unique(pieces[expected == number])) == 1
        assert len(np.unique(pieces[labels == label])) == found
    assert len(label_of) == count + 1
    first = [int(np.flatnonzero(pieces.ravel() == p)[0]) for p in range(1, count + 1)]
    assert first == sorted(first)


@settings(deadline=None)
@given(BLOCKS)
def test_contacts_count_faces(labels: NDArray[np.int32]) -> None:
    expected: dict[tuple[int, int], int] = {}
    for at in np.ndindex(*labels.shape):
        for axis in range(3):
            other = list(at)
            other[axis] += 1
            if other[axis] < labels.shape[axis]:
                a, b = sorted((int(labels[at]), int(labels[tuple(other)])))
                if 0 < a < b:
                    expected[a, b] = expected.get((a, b), 0) + 1
    found = contacts(labels)
    pairs = zip(found.a.tolist(), found.b.tolist(), strict=True)
    assert dict(zip(pairs, found.area.tolist(), strict=True)) == expected
    assert np.array_equal(labels[tuple(found.at_a.T)], found.a)
    assert np.array_equal(labels[tuple(found.at_b.T)], found.b)
    assert (np.abs(found.at_a - found.at_b).sum(1) == 1).all()


NODES = 6
EDGES = st.dictionaries(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda e: e[0] < e[1]),
    st.sampled_from([UNCUTTABLE, 1, 1, 2, 3, 7]),
    min_size=1,
)


@settings(max_examples=200, deadline=None)
@given(EDGES, st.lists(st.integers(1, NODES - 2), max_size=2))
def test_the_only_smallest_cut(edges: dict[tuple[int, int], int], more: list[int]) -> None:
    """Against all ways to divide the nodes."""
    sources, sinks = {0, *more}, {NODES - 1}
    divisions: dict[frozenset[int], float] = {}
    for sides in product([True, False], repeat=NODES):
        ahead = {node for node in range(NODES) if sides[node]}
        if sources <= ahead and not sinks & ahead:
            cut = [e for e in edges if (e[0] in ahead) != (e[1] in ahead)]
            infinite = any(edges[e] == UNCUTTABLE for e in cut)
            divisions[frozenset(ahead)] = float("inf") if infinite else sum(edges[e] for e in cut)
    least = min(divisions.values())
    smallest = [ahead for ahead, weight in divisions.items() if weight == least]
    a, b = np.array(list(edges)).T
    found = only_smallest_cut(
        NODES,
        a,
        b,
        np.array(list(edges.values())),
        np.array(sorted(sources)),
        np.array([NODES - 1]),
    )
    if least < float("inf") and len(smallest) == 1:
        assert found is not None
        cut = {e for e in edges if (e[0] in smallest[0]) != (e[1] in smallest[0])}
        assert {(int(a[i]), int(b[i])) for i in found} == cut
    else:
        assert found is None


@settings(deadline=None)
@given(st.integers(2, 600), st.integers(0, 100), st.lists(st.integers(0, DAY_MS), max_size=5))
def test_lives_of_rows(count: int, seed: int, marks: list[int]) -> None:
    lives = give_lives(count, np.random.default_rng(seed), marks)
    assert (np.diff(lives.created) >= 0).all()
    assert (lives.deleted > lives.created).all()
    assert lives.created.min() >= -30 * DAY_MS
    assert lives.deleted[lives.deleted != NEVER].max(initial=0) <= DAYS * DAY_MS
    assert np.array_equal(np.sort(lives.row[~lives.corrected]), np.arange(count))
    assert set(marks[:count]) <= set(lives.created.tolist())
    replaced = np.flatnonzero(lives.successor)
    after = lives.successor[replaced] - 1
    assert lives.corrected[after].all()
    assert len(set(after.tolist())) == len(replaced) == lives.corrected.sum()
    assert np.array_equal(lives.created[after], lives.deleted[replaced])
    assert np.array_equal(lives.row[after], lives.row[replaced])


def test_shares_of_lives() -> None:
    lives = give_lives(20_000, np.random.default_rng(0), [])
    first = ~lives.corrected
    assert (lives.created[first] < 0).mean() == pytest.approx(0.8, abs=0.02)
    assert (lives.deleted != NEVER).sum() == 400
    assert lives.corrected.sum() == 200


def test_lives_not_before() -> None:
    born = np.arange(50) * DAY_MS
    lives = give_lives(50, np.random.default_rng(0), [], not_before=born)
    assert (lives.created >= born[lives.row]).all()


def test_a_plan_grows_with_the_volume() -> None:
    small, large = make_plan(64, 0), make_plan((1024, 1024, 512), 0)
    assert small.grid == (2, 2, 2)
    assert large.grid == (16, 16, 8)
    assert large.synapses == 32 * make_plan(256, 0).synapses
    with pytest.raises(Invalid, match="seed"):
        make_plan(64, -1)
