"""The layout of node ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import ids

layers = st.integers(3, 14)


@pytest.mark.parametrize(
    ("n_layers", "bits"),
    [
        (4, {1: 10, 2: 10, 3: 1, 4: 1}),
        (5, {1: 10, 2: 10, 3: 2, 4: 1, 5: 1}),
        (12, dict(zip(range(1, 13), [10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1], strict=True))),
        (13, {1: 11, 2: 11} | {layer: max(1, 13 - layer) for layer in range(3, 14)}),
    ],
)
def test_bits_are_those_of_pychunkedgraph(n_layers: int, bits: dict[int, int]) -> None:
    assert ids.spatial_bit_masks(n_layers) == bits


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_layers_are_the_fewest_that_hold_all_chunks(x: int, y: int, z: int) -> None:
    n_layers = ids.n_layers_for([x, y, z])
    # a node of the root's layer spans 2**(n_layers - 2) chunks of layer 2 along an axis
    assert 2 ** (n_layers - 2) >= max(x, y, z)
    assert n_layers == 3 or 2 ** (n_layers - 3) < max(x, y, z)


@given(layers, st.data())
def test_ids_say_what_they_were_made_of(n_layers: int, data: st.DataObject) -> None:
    layer = data.draw(st.integers(1, n_layers))
    bits = ids.spatial_bits(layer, n_layers)
    coordinate = st.integers(0, 2**bits - 1)
    parts = st.tuples(coordinate, coordinate, coordinate, st.integers(0, 2 ** (56 - 3 * bits) - 1))
    rows = np.array(data.draw(st.lists(parts, min_size=1, max_size=5)), np.int64)
    made = ids.make_ids(layer, rows[:, :3], rows[:, 3], n_layers)
    # by the definition, in plain integers
    for got, (x, y, z, segment) in zip(made.tolist(), rows.tolist(), strict=True):
        text = f"{layer:08b}{x:0{bits}b}{y:0{bits}b}{z:0{bits}b}{segment:0{56 - 3 * bits}b}"
        assert got == int(text, 2)
    assert made.dtype == np.int64
    assert ids.layer_of(made).tolist() == [layer] * len(rows)
    assert ids.chunk_of(made, n_layers).tolist() == rows[:, :3].tolist()
    assert ids.segment_of(made, n_layers).tolist() == rows[:, 3].tolist()
    assert ids.is_supervoxel(made).all() == (layer == 1)


@given(layers, st.integers(1, 10**9))
def test_roots_lie_in_the_first_chunk_of_the_highest_layer(n_layers: int, first: int) -> None:
    roots = ids.root_ids(first, 3, n_layers)
    assert roots.tolist() == [(n_layers << 56) + first + i for i in range(3)]
    assert ids.chunk_of(roots, n_layers).tolist() == [[0, 0, 0]] * 3


def test_nothing_in_nothing_out() -> None:
    assert ids.chunk_of([], 5).shape == (0, 3)
    assert ids.segment_of([], 5).shape == (0,)
    assert ids.root_ids(1, 0, 5).shape == (0,)


@pytest.mark.parametrize("chunk", [[1024, 0, 0], [0, -1, 0]])
def test_a_chunk_that_does_not_fit_is_refused(chunk: list[int]) -> None:
    with pytest.raises(Invalid):
        ids.make_ids(1, [chunk], [1], 5)


@pytest.mark.parametrize("segment", [1 << 26, -1])
def test_a_segment_that_does_not_fit_is_refused(segment: int) -> None:
    with pytest.raises(Invalid):
        ids.make_ids(1, [[0, 0, 0]], [segment], 5)


def test_layers_must_exist_and_agree() -> None:
    with pytest.raises(Invalid):
        ids.spatial_bits(6, 5)
    with pytest.raises(Invalid):
        ids.chunk_of([1 << 56, 2 << 56], 5)
    with pytest.raises(Invalid):
        ids.n_layers_for([0, 0, 0])
