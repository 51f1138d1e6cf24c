"""Node ids of a chunkedgraph: 8 bits of layer, chunk x, y, z, then a segment number.

The layout is PyChunkedGraph's: the most significant byte is the layer (1 = supervoxels,
n_layers = roots), the chunk coordinates take `spatial_bits` each, the rest counts segments.
Roots lie in chunk (0, 0, 0). All ids fit a signed 64-bit integer.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.protocol import Ids

LAYER_BITS = 8
LAYER_SHIFT = 64 - LAYER_BITS
SUPERVOXEL_LAYER = 1
# PyChunkedGraph gives the two lowest layers this many bits an axis, more where they need more
LOW_SPATIAL_BITS = 10
DEFAULT_N_LAYERS = 5


def spatial_bits(layer: int, n_layers: int) -> int:
    """Bits of one chunk coordinate in ids of a layer."""
    if not 1 <= layer <= n_layers:
        raise Invalid(f"A graph of {n_layers} layers has no layer {layer}.")
    if layer <= 2:
        return max(LOW_SPATIAL_BITS, n_layers - 2)
    return max(1, n_layers - layer)


def spatial_bit_masks(n_layers: int) -> dict[int, int]:
    """Bits of one chunk coordinate for every layer, as the graph's info tells clients."""
    return {layer: spatial_bits(layer, n_layers) for layer in range(1, n_layers + 1)}


def n_layers_for(chunks: ArrayLike) -> int:
    """Layers of a graph whose bounding box has `chunks` (x, y, z) chunks, with fan-out 2."""
    most = int(np.max(np.asarray(chunks)))
    if most < 1:
        raise Invalid(f"A volume cannot have {most} chunks along an axis.")
    # bit_length of most - 1 is the ceiling of its base-2 logarithm, without rounding
    return max((most - 1).bit_length() + 2, 3)


def layer_of(ids: ArrayLike) -> Ids:
    """The layer of each id, same shape."""
    layers: Ids = np.asarray(ids, np.int64) >> LAYER_SHIFT
    return layers


def chunk_of(ids: ArrayLike, n_layers: int) -> Ids:
    """Chunk coordinates, shape (..., 3); all ids must be of one layer."""
    ids = np.asarray(ids, np.int64)
    bits = spatial_bits(_one_layer(ids), n_layers) if ids.size else 1
    shifts = LAYER_SHIFT - bits * np.array([1, 2, 3])
    xyz: Ids = (ids[..., None] >> shifts) & ((1 << bits) - 1)
    return xyz


def segment_of(ids: ArrayLike, n_layers: int) -> Ids:
    """The segment number of each id; all ids must be of one layer."""
    ids = np.asarray(ids, np.int64)
    bits = spatial_bits(_one_layer(ids), n_layers) if ids.size else 1
    segments: Ids = ids & ((1 << (LAYER_SHIFT - 3 * bits)) - 1)
    return segments


def make_ids(layer: int, chunks: ArrayLike, segments: ArrayLike, n_layers: int) -> Ids:
    """Ids from chunk coordinates, shape (..., 3), and segment numbers, shape (...).

    Raises Invalid where a coordinate or a number does not fit.
    """
    bits = spatial_bits(layer, n_layers)
    room = LAYER_SHIFT - 3 * bits
    xyz, segment = np.asarray(chunks, np.int64), np.asarray(segments, np.int64)
    if np.any((xyz < 0) | (xyz >= 1 << bits)) or np.any((segment < 0) | (segment >= 1 << room)):
        raise Invalid(f"A chunk or segment number does not fit an id of layer {layer}.")
    shifts = LAYER_SHIFT - bits * np.array([1, 2, 3])
    ids: Ids = (np.int64(layer) << LAYER_SHIFT) | (xyz << shifts).sum(-1) | segment
    return ids


def root_ids(first_segment: int, count: int, n_layers: int) -> Ids:
    """`count` root ids with segment numbers from `first_segment` on."""
    segments = np.arange(first_segment, first_segment + count, dtype=np.int64)
    return make_ids(n_layers, np.zeros((count, 3), np.int64), segments, n_layers)


def is_supervoxel(ids: ArrayLike) -> NDArray[np.bool_]:
    """Whether each id is of the supervoxels' layer."""
    return np.asarray(layer_of(ids) == SUPERVOXEL_LAYER)


def _one_layer(ids: Ids) -> int:
    layers = np.unique(layer_of(ids))
    if len(layers) != 1:
        raise Invalid(f"Ids of one layer were expected, not of layers {layers.tolist()}.")
    return int(layers[0])
