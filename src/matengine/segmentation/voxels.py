"""Positions in one resolution to whole voxels of another, exactly."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matengine.errors import Invalid

# Positions on this grid of a voxel (2^-16) go through integers; the rest through fractions
_STEP_BITS = 16
_INTEGERS = 1 << 62
# Ratios of resolutions have small denominators; what lies within rounding of one is meant so
_SIMPLE = 10**6
_ROUNDING = Fraction(1, 1 << 50)
# Further from a whole number than this, relatively, a product in doubles has the right floor
_NEAR = 1e-12


def to_voxels(
    points: ArrayLike, from_nm: Sequence[float], to_nm: Sequence[float]
) -> NDArray[np.int64]:
    """floor(position * from_nm / to_nm), the voxel that each position lies in.

    points: (N, 3) positions in voxels of `from_nm` (x, y, z; nm); returns (N, 3) int64 voxels
    of `to_nm`, clipped to ±2^62. The floor is exact where doubles would err: 29/3 nm has no
    double, yet three of its voxels make one of 29 nm. Raises Invalid for points that are no
    finite numbers, another shape, and resolutions that are not three positive numbers.
    """
    positions = np.asarray(points, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise Invalid(f"Points are an array of shape (N, 3), not {positions.shape}.")
    bad = ~np.isfinite(positions).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise Invalid(f"Point {row} has no finite position: {positions[row].tolist()}.")
    sources, targets = check_resolution(from_nm), check_resolution(to_nm)
    voxels = np.empty(positions.shape, np.int64)
    for axis in range(3):
        ratio = _ratio(sources[axis], targets[axis])
        voxels[:, axis] = _floor_product(positions[:, axis], ratio)
    return voxels


def check_resolution(nm: Sequence[float]) -> tuple[float, float, float]:
    """Three positive, finite numbers (x, y, z; nm); raises Invalid for anything else."""
    numbers = [float(n) for n in nm]
    if len(numbers) != 3 or not all(0 < n < float("inf") for n in numbers):
        raise Invalid(
            f"{numbers} is no voxel resolution.", "Give three positive numbers: x, y, z in nm."
        )
    return numbers[0], numbers[1], numbers[2]


def _ratio(source: float, target: float) -> Fraction:
    exact = Fraction(source) / Fraction(target)
    simple = exact.limit_denominator(_SIMPLE)
    return simple if abs(simple - exact) <= _ROUNDING * exact else exact


def _floor_product(positions: NDArray[np.float64], ratio: Fraction) -> NDArray[np.int64]:
    if ratio == 1:
        return np.floor(np.clip(positions, -_INTEGERS, _INTEGERS)).astype(np.int64)
    top, bottom = ratio.numerator, ratio.denominator << _STEP_BITS
    with np.errstate(over="ignore"):
        steps = positions * (1 << _STEP_BITS)
        estimate = np.clip(positions * float(ratio), -_INTEGERS, _INTEGERS)
    whole = (np.abs(steps) <= _INTEGERS // top) & (steps == np.floor(steps))
    if bottom > _INTEGERS:
        whole[:] = False
    out = np.floor(estimate).astype(np.int64)
    if whole.any():
        out[whole] = steps[whole].astype(np.int64) * np.int64(top) // np.int64(bottom)
    near = np.abs(estimate - np.rint(estimate)) <= _NEAR * np.maximum(1, np.abs(estimate))
    for row in np.flatnonzero(near & ~whole & (np.abs(estimate) < _INTEGERS)):
        out[row] = (Fraction(positions[row]) * ratio).__floor__()
    return out
