"""Neurons as skeletons, and their growing ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SOMA, DENDRITE, AXON = 0, 1, 2
COMPARTMENTS = ("soma", "dendrite", "axon")

MAX_RADIUS = 4
"""Voxels around the nodes of the thickest neurites."""


@dataclass(frozen=True)
class Skeletons:
    """Nodes of all neurons, and the watershed fragments that they seed.

    position (n, 3) int16 voxels, radius (n,) uint8 voxels, fragment (n,) int32.
    By fragment: neuron int32, part int32 (what the first agglomeration joins), kind int8.
    By cell: soma (c, 3) centre in voxels; the first c neurons are the cells.
    """

    position: NDArray[np.int16]
    radius: NDArray[np.uint8]
    fragment: NDArray[np.int32]
    neuron_of: NDArray[np.int32]
    part_of: NDArray[np.int32]
    kind_of: NDArray[np.int8]
    soma: Floats


@dataclass
class Tips:
    """Growing ends, one a row: position, direction (n, 3) voxels, radius (n,) voxels."""

    position: Floats
    direction: Floats
    radius: Floats
    neuron: Ints
    kind: Ints
    part: Ints
    fragment: Ints
    left: Ints  # nodes until the next fragment
    steps: Ints  # nodes until the end

    def take(self, rows: NDArray[np.bool_] | Ints) -> "Tips":
        """Some of the tips, as copies."""
        return Tips(*(value[rows] for value in vars(self).values()))

    def joined(self, other: "Tips") -> "Tips":
        """These and others."""
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return Tips(*(np.concatenate(pair) for pair in both))
