"""Single voxels of chunks in Neuroglancer's encoding `compressed_segmentation`, without unpacking.

A chunk is cut into blocks. A block has a header of two 32-bit words (the place of its table of
ids, bits a voxel, the place of its voxels), and its voxels are numbers in that table. So a voxel
costs a look at five words, however large its chunk is.
https://github.com/google/neuroglancer/tree/master/src/sliceview/compressed_segmentation
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def ids_at(
    contents: Sequence[bytes],
    shapes: Ints,
    chunk: NDArray[np.intp],
    places: Ints,
    block: Sequence[int],
    item_bytes: int,
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The ids (N,) of voxels `places` (N, 3) in chunks, and whether each could be read.

    contents, shapes: of M chunks of one channel their bytes and their sizes (M, 3) in voxels.
    chunk: (N,) which chunk each voxel is in. block: voxels of a block (x, y, z). item_bytes: of
    an id, 4 or 8.
    """
    words = np.concatenate([np.frombuffer(c, "<u4", len(c) // 4) for c in contents])
    ends = np.cumsum([len(c) // 4 for c in contents])
    begin, end = np.append(0, ends[:-1])[chunk], ends[chunk]
    good = np.ones(len(places), np.bool_)

    def word(at: Ints) -> Ints:
        """The words at places of `words`; those that lie in another chunk are not good."""
        inside = (at >= begin) & (at < end)
        np.logical_and(good, inside, out=good)
        found: Ints = words[np.where(inside, at, 0)].astype(np.int64)
        return found

    # words of a channel are counted from where it begins
    origin = begin + word(begin)
    cell, within = np.divmod(places, np.asarray(block))
    header = origin + 2 * _place(cell, -(-shapes // np.asarray(block))[chunk])
    first, values = word(header), word(header + 1)
    bits = first >> 24
    good &= np.isin(bits, (0, 1, 2, 4, 8, 16, 32))
    bit = _place(within, np.asarray(block)[None]) * bits
    number = word(np.where(bits > 0, origin + values + (bit >> 5), header)) >> (bit & 31)
    number &= (np.int64(1) << bits) - 1
    entry = origin + (first & 0xFFFFFF) + number * (item_bytes // 4)
    ids = word(entry).astype(np.uint64)
    if item_bytes == 8:
        ids |= word(entry + 1).astype(np.uint64) << np.uint64(32)
    return ids, good


def _place(at: Ints, size: Ints) -> Ints:
    """The number of a cell (N, 3) in a grid, x first."""
    number: Ints = at[:, 0] + size[:, 0] * (at[:, 1] + size[:, 1] * at[:, 2])
    return number
