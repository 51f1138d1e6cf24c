"""Connected pieces and contacts of a labelled block, vectorised."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Labels = NDArray[np.int32]
Ints = NDArray[np.int64]


def connected_pieces(labels: Labels) -> tuple[Labels, Labels]:
    """The 6-connected pieces of equal positive label.

    Returns the piece of each voxel (same shape, 0 = background, numbered from 1 in C order of the
    first voxel), and the label of each piece (the first entry is background). Works on runs along
    the last axis, of which there are far fewer than voxels.
    """
    begins = np.ones(labels.shape, bool)
    begins[..., 1:] = labels[..., 1:] != labels[..., :-1]
    run = (np.cumsum(begins.ravel(), dtype=np.int32) - 1).reshape(labels.shape)
    run_label = labels[begins]
    links = []
    for axis in (0, 1):
        low, high = neighbours(axis)
        # one link for each stretch where two runs lie side by side
        meet = (labels[low] == labels[high]) & (begins[low] | begins[high]) & (labels[low] > 0)
        links.append((run[low][meet], run[high][meet]))
    rows, cols = (np.concatenate(side) for side in zip(*links, strict=True))
    count = len(run_label)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, cols)), (count, count))
    group = connected_components(graph, directed=False)[1]
    foreground = np.flatnonzero(run_label > 0)
    _, first, inverse = np.unique(group[foreground], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1, dtype=np.int32)
    piece_of_run = np.zeros(count, np.int32)
    piece_of_run[foreground] = rank[inverse]
    piece_label = np.zeros(len(first) + 1, np.int32)
    piece_label[rank] = run_label[foreground[first]]
    return piece_of_run[run], piece_label


def neighbours(axis: int) -> tuple[Any, Any]:
    """Index tuples of the lower and the upper voxel of every face along an axis."""
    low = tuple(slice(None, -1) if i == axis else slice(None) for i in range(3))
    high = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
    return low, high


@dataclass(frozen=True)
class Contacts:
    """Pairs of touching pieces: a < b, the number of faces between them, and one such face.

    a, b, area int64 (n,); at_a, at_b int64 (n, 3), the voxels on both sides of a middle face.
    """

    a: Ints
    b: Ints
    area: Ints
    at_a: Ints
    at_b: Ints


def contacts(pieces: Labels) -> Contacts:
    """All contacts inside a block."""
    strides = np.array([pieces.shape[1] * pieces.shape[2], pieces.shape[2], 1])
    index = np.arange(pieces.size, dtype=np.int64).reshape(pieces.shape)
    found = []
    for axis in range(3):
        low, high = neighbours(axis)
        meet = (pieces[low] != pieces[high]) & (pieces[low] > 0) & (pieces[high] > 0)
        at = index[low][meet]
        found.append((pieces[low][meet], pieces[high][meet], at, at + strides[axis]))
    low_piece, high_piece, low_at, high_at = (
        np.concatenate(part).astype(np.int64) for part in zip(*found, strict=True)
    )
    return grouped(low_piece, high_piece, low_at, high_at, pieces.shape)


def grouped(
    one: Ints, other: Ints, one_at: Ints, other_at: Ints, shape: tuple[int, ...]
) -> Contacts:
    """Faces (piece and flat voxel index of either side) brought together by pair of pieces."""
    swap = one > other
    a, b = np.where(swap, other, one), np.where(swap, one, other)
    at_a, at_b = np.where(swap, other_at, one_at), np.where(swap, one_at, other_at)
    order = np.lexsort((at_a, b, a))
    a, b = a[order], b[order]
    starts = np.flatnonzero(np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])]) if len(a) else a
    area = np.diff(np.r_[starts, len(a)])
    middle = order[starts + area // 2]
    places = (np.stack(np.unravel_index(at[middle], shape), 1) for at in (at_a, at_b))
    return Contacts(a[starts], b[starts], area, *places)
