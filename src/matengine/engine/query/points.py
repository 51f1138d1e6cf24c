"""Coordinates of points as PostGIS sends them, of a whole batch at once.

That is WKB: the byte order, a type, perhaps a reference system, and three doubles. An empty point
has NaN for all of them, and no coordinates.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Axes = tuple[pa.Array, pa.Array, pa.Array]
_DOUBLES = 24


def of_binary(points: pa.Array) -> Axes:
    """x, y and z of points that have three dimensions, one a value."""
    if isinstance(points, pa.ExtensionArray):
        points = points.storage
    _, places, content = points.buffers()
    count = len(points)
    if points.null_count == count or content is None:
        none = pa.nulls(count, pa.float64())
        return none, none, none
    ends = np.frombuffer(places, np.int32)[points.offset : points.offset + count + 1]
    starts, ends = ends[:-1], ends[1:]
    there = None if not points.null_count else points.is_valid().to_numpy(zero_copy_only=False)
    if there is not None:
        starts, ends = starts[there], ends[there]
    numbers = _numbers(_values(np.frombuffer(content, np.uint8), starts, ends))
    if there is None:
        return _axes(numbers)
    whole = np.full((count, 3), np.nan, order="F")
    whole[there] = numbers
    return _axes(whole)


def of_rows(values: NDArray[np.uint8]) -> Axes:
    """x, y and z of points of one length, (n, length) bytes."""
    return _axes(_numbers(values))


def _axes(numbers: NDArray[np.float64]) -> Axes:
    """Each axis of (n, 3) numbers, null where all three are NaN."""
    mask = np.isnan(numbers).all(axis=1) if np.isnan(numbers[:, 0]).any() else None
    x, y, z = (pa.array(axis, mask=mask) for axis in numbers.T)
    return x, y, z


def _numbers(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The last three doubles of each value; (n, 3), each axis in one piece."""
    order = ">f8" if len(values) and not values[0, 0] else "<f8"
    last = values[:, values.shape[1] - _DOUBLES :]
    return np.asfortranarray(last.view(order), np.float64)


def _values(
    data: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """The values, (n, length): whole where all have one length, else the byte order and the end."""
    first, length = int(starts[0]), int(ends[0] - starts[0])
    if int(ends[-1]) - first == len(ends) * length and (ends - starts == length).all():
        return data[first : int(ends[-1])].reshape(-1, length)
    return data[np.column_stack([starts, ends[:, None] + np.arange(-_DOUBLES, 0)])]
