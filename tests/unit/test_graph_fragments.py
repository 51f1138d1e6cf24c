"""The fragments in which large objects begin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matengine.segmentation.chunkedgraph.local import fragments
from matengine.segmentation.chunkedgraph.local.components import components

NODES = 30
nodes = st.integers(0, NODES - 1)


@given(st.lists(st.tuples(nodes, nodes), max_size=60), st.integers(1, 8), st.integers(1, 8))
def test_objects_are_cut_into_connected_parts_of_enough_seeds(
    links: list[tuple[int, int]], size: int, most: int
) -> None:
    a, b = np.array(links, np.int32).reshape(-1, 2).T
    labels = components(NODES, a, b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragments, "SIZE", size)
        patch.setattr(fragments, "MOST", most)
        fragment = fragments.parts(labels, a, b)
    inside = fragment[a] == fragment[b]
    assert components(NODES, a[inside], b[inside]).max() == fragment.max()
    order = np.lexsort((fragment, labels))
    assert np.unique(np.diff(fragment[order], prepend=-1)).tolist() in ([0, 1], [1])
    for label, count in enumerate(np.bincount(labels).tolist()):
        names = np.unique(fragment[labels == label])
        assert len(names) == math.ceil(count / max(size, count // most))


def test_a_block_is_cut_into_lumps() -> None:
    """So a plane through the middle meets few of them, and a small part of the block."""
    ids = np.arange(40**3, dtype=np.int32).reshape(40, 40, 40)
    a = np.concatenate([np.delete(ids, -1, axis).ravel() for axis in range(3)])
    b = np.concatenate([np.delete(ids, 0, axis).ravel() for axis in range(3)])
    fragment = fragments.parts(np.zeros(ids.size, np.int64), a, b).reshape(ids.shape)
    sizes = np.bincount(fragment.ravel())
    assert len(sizes) == math.ceil(ids.size / fragments.SIZE)
    assert sizes.max() < 4 * fragments.SIZE
    near = np.bincount(fragment[:20].ravel(), minlength=len(sizes))
    assert np.minimum(near, sizes - near).sum() < 0.15 * ids.size
