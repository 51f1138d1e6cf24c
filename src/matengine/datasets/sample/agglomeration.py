"""The true objects, and a first agglomeration with faults that proofreading will mend."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from matengine.datasets.sample.plan import Plan
from matengine.datasets.sample.skeletons import Skeletons
from matengine.datasets.sample.supervoxels import Supervoxels, Touching

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AFFINITY_UNIT = 256
"""Affinities are kept in whole 1/256: exact as float32, and whole capacities for a cut."""

UNCUTTABLE = -1
"""Affinity of an edge between pieces of one fragment cut at a chunk's face: infinite."""

# A bundle of at most three false edges weighs less than any one true edge, so the smallest cut
# between its sides is the bundle and nothing else
_FALSE_AFFINITY = (5, 26)
_TRUE_AFFINITY = (90, 251)
_BUNDLE = 3

_MOST_JOINED = 5
"""True objects that false merges may join into one."""


@dataclass(frozen=True)
class Agglomeration:
    """Supervoxels and all edges that ever matter.

    object_of int64 (n,): the true object of each supervoxel. By edge (m,): a, b int64 indices of
    supervoxels, affinity int64 in 1/256 (UNCUTTABLE = infinite), area int64, true bool (both ends
    in one true object), start bool (there when the history begins). `bundles` are the false
    merges, each the numbers of its edges; `wrong` are edges between two objects that are not
    there at the start.
    """

    object_of: Ints
    a: Ints
    b: Ints
    affinity: Ints
    area: Ints
    true: Bools
    start: Bools
    bundles: list[Ints]
    wrong: Ints


def agglomerate(
    plan: Plan,
    skeletons: Skeletons,
    supervoxels: Supervoxels,
    touching: Touching,
    rng: np.random.Generator,
) -> Agglomeration:
    """Join what a part holds, leave out what joins parts, add false merges."""
    fragment = supervoxels.fragment
    a, b = touching.a, touching.b
    same_neuron = _same(skeletons.neuron_of[fragment], a, b)
    same_part = _same(skeletons.part_of[fragment], a, b)
    object_of = components(len(fragment), a[same_neuron], b[same_neuron])
    affinity = rng.integers(*_TRUE_AFFINITY, len(a))
    affinity[touching.crosses & _same(fragment, a, b)] = UNCUTTABLE
    bundles = _false_merges(plan, object_of, touching, rng)
    false = np.zeros(len(a), bool)
    false[np.concatenate([a[:0], *bundles])] = True
    affinity[false] = rng.integers(*_FALSE_AFFINITY, int(false.sum()))
    # beside the edges of objects, those that proofreaders will add by mistake
    wrong = np.flatnonzero(~_same(object_of, a, b) & ~false)
    wrong = np.sort(rng.permutation(wrong)[: plan.mistakes])
    kept = same_neuron | false
    kept[wrong] = True
    number = np.cumsum(kept) - 1
    return Agglomeration(
        object_of=object_of,
        a=a[kept],
        b=b[kept],
        affinity=affinity[kept],
        area=touching.area[kept],
        true=same_neuron[kept],
        start=(same_part | false)[kept],
        bundles=[number[bundle] for bundle in bundles],
        wrong=number[wrong],
    )


def components(count: int, a: Ints, b: Ints) -> Ints:
    """The number of the connected component of each of `count` nodes, edges being a-b."""
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), (count, count))
    label: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return label


def _same(value: NDArray[Any], a: Ints, b: Ints) -> Bools:
    same: Bools = value[a] == value[b]
    return same


def _false_merges(
    plan: Plan, object_of: Ints, touching: Touching, rng: np.random.Generator
) -> list[Ints]:
    """Bundles of contacts between two objects, as rows of `touching`.

    They form a forest over the true objects: each is the only link between its two sides.
    """
    left, right = object_of[touching.a], object_of[touching.b]
    low, high = np.minimum(left, right), np.maximum(left, right)
    pair = low * (int(object_of.max()) + 1) + high
    other = np.flatnonzero(left != right)
    by_pair = other[np.argsort(pair[other], kind="stable")]
    sorted_pair = pair[by_pair]
    joined: dict[int, set[int]] = {}
    bundles: list[Ints] = []
    for row in rng.permutation(other[touching.area[other] >= 4]):
        if len(bundles) == plan.false_merges:
            break
        one = joined.get(int(left[row]), {int(left[row])})
        two = joined.get(int(right[row]), {int(right[row])})
        if one & two or len(one) + len(two) > _MOST_JOINED:
            continue
        both = one | two
        joined.update(dict.fromkeys(both, both))
        begin, end = np.searchsorted(sorted_pair, [pair[row], pair[row] + 1])
        near = by_pair[begin:end]
        near = near[(touching.a[near] == touching.a[row]) | (touching.b[near] == touching.b[row])]
        near = near[near != row][: int(rng.integers(_BUNDLE))]
        bundles.append(np.sort(np.r_[row, near]))
    return bundles
