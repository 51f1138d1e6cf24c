"""Positions to voxels, against fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matengine.errors import Invalid
from matengine.segmentation.voxels import to_voxels

# resolutions as people mean them: short decimals, or a simple part of one
RESOLUTIONS = st.builds(
    lambda tenths, parts: Fraction(tenths, 10 * parts), st.integers(1, 1000), st.integers(1, 9)
)
# positions as they are stored: whole voxels, binary parts of one, any double
POSITIONS = st.one_of(
    st.integers(-(10**7), 10**7).map(float),
    st.integers(-(10**9), 10**9).map(lambda n: n / 256),
    st.floats(-1e7, 1e7),
)


@given(st.lists(st.tuples(POSITIONS, POSITIONS, POSITIONS), max_size=20), RESOLUTIONS, RESOLUTIONS)
def test_floor_is_exact(
    points: list[tuple[float, float, float]], source: Fraction, target: Fraction
) -> None:
    found = to_voxels(np.array(points).reshape(-1, 3), [float(source)] * 3, [float(target)] * 3)
    ratio = source / target
    assert found.tolist() == [[(Fraction(p) * ratio).__floor__() for p in row] for row in points]


@given(st.integers(-(10**6), 10**6), RESOLUTIONS, st.integers(1, 64))
def test_whole_multiples_start_their_voxel(n: int, target: Fraction, parts: int) -> None:
    """The first small voxel of a large one lies in it, the one before does not."""
    points = [[n * parts] * 3, [n * parts - 1] * 3]
    found = to_voxels(points, [float(target / parts)] * 3, [float(target)] * 3)
    assert found.tolist() == [[n] * 3, [n - 1] * 3]


@given(st.integers(-(10**6), 10**6), RESOLUTIONS, RESOLUTIONS, st.integers(-2, 2))
def test_doubles_next_to_the_face_of_a_voxel(
    n: int, source: Fraction, target: Fraction, steps: int
) -> None:
    """The double nearest to a face, and its neighbours, lie where their exact values do."""
    ratio = source / target
    position = float(n / ratio)
    for _ in range(abs(steps)):
        position = math.nextafter(position, math.copysign(math.inf, steps))
    found = to_voxels([[position] * 3], [float(source)] * 3, [float(target)] * 3)
    assert found.tolist() == [[(Fraction(position) * ratio).__floor__()] * 3]


def test_axes_are_apart() -> None:
    found = to_voxels([[3, 5, 7]], [3, 6, 29], [6, 6, 14.5])
    assert found.tolist() == [[1, 5, 14]]


def test_ratio_that_is_not_simple_is_taken_as_it_is() -> None:
    source, target = 3.141592653589793, 2.718281828459045
    points = np.arange(-3000, 3000).reshape(-1, 3)
    ratio = Fraction(source) / Fraction(target)
    expected = [[(int(p) * ratio).__floor__() for p in row] for row in points]
    assert to_voxels(points, [source] * 3, [target] * 3).tolist() == expected


def test_huge_positions_stay_far_away() -> None:
    found = to_voxels([[1e300, -1e300, 1e18]], [4, 4, 1000], [8, 8, 1])
    assert found.tolist() == [[1 << 62, -(1 << 62), 1 << 62]]


@pytest.mark.parametrize("bad", [[[1, 2, np.nan]], [[np.inf, 2, 3]], [[1, 2]], [1, 2, 3]])
def test_no_positions(bad: list[list[float]]) -> None:
    with pytest.raises(Invalid):
        to_voxels(bad, [1, 1, 1], [1, 1, 1])


@pytest.mark.parametrize("bad", [[1, 1], [0, 1, 1], [1, -1, 1], [1, 1, np.nan], [1, 1, np.inf]])
def test_no_resolution(bad: list[float]) -> None:
    with pytest.raises(Invalid, match="no voxel resolution"):
        to_voxels([[1, 1, 1]], bad, [1, 1, 1])
