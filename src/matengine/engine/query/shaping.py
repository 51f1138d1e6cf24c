"""Columns of answers out of what PostgreSQL sends, a batch at a time and never row by row.

The server sends columns as they are stored, each once: to pick coordinates, to scale them and to
put 0 for NULL is cheaper here, where it is done for a whole batch at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from matengine.engine.query.relation import Form, Relation
from matengine.engine.query.selecting import Output

Resolution = tuple[float, float, float]
Stored = tuple[str, str]
"""A table, and a column of its source."""

_POINT_BYTES = 24


@dataclass(frozen=True)
class Shape:
    """What is read, and what becomes of it.

    stored: the columns that are read. outputs: those of the answer, with `factors` by which the
    coordinates of each are scaled: multiplied by the first, then divided by the second.
    """

    stored: tuple[Stored, ...]
    outputs: tuple[Output, ...]
    factors: tuple[tuple[float, float], ...]

    def columns(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """The columns of the answer that a batch makes."""
        places = {column: place for place, column in enumerate(self.stored)}
        points: dict[Stored, Sequence[pa.Array]] = {}
        found = []
        for output, factors in zip(self.outputs, self.factors, strict=True):
            column, source = output.column, (output.table, output.column.stored)
            if column.form is Form.TRUE:
                found.append(pa.repeat(pa.scalar(True), batch.num_rows))
                continue
            value = batch.column(places[source])
            if column.form is Form.ZERO and value.null_count:
                value = pc.fill_null(value, 0)
            elif column.form in _AXES:
                if source not in points:
                    points[source] = coordinates(value)
                value = _scaled(points[source][_AXES[column.form]], *factors)
            found.append(value if value.type == column.type else value.cast(column.type))
        return found


_AXES = {Form.X: 0, Form.Y: 1, Form.Z: 2}


def shape(
    outputs: Sequence[Output],
    keys: Iterable[Stored],
    relations: Mapping[str, Relation],
    wanted: Resolution | None,
) -> Shape:
    """What must be read for these columns and keys, with positions at a resolution."""
    seen = [(o.table, o.column.stored) for o in outputs if o.column.form is not Form.TRUE]
    return Shape(
        tuple(dict.fromkeys([*seen, *keys])),
        tuple(outputs),
        tuple(_factors(output, relations[output.table], wanted) for output in outputs),
    )


def _factors(output: Output, relation: Relation, wanted: Resolution | None) -> tuple[float, float]:
    """By what a column is scaled: with one rounding at most, where voxels are whole."""
    if output.column.point is None or wanted is None or relation.resolution_nm is None:
        return 1.0, 1.0
    has, wants = relation.resolution_nm[output.column.axis], wanted[output.column.axis]
    return (has / wants, 1.0) if (has / wants).is_integer() else (has, wants)


def _scaled(value: pa.Array, by: float, over: float) -> pa.Array:
    if by != 1.0:
        value = pc.multiply(value, by)
    return pc.divide(value, over) if over != 1.0 else value


def coordinates(points: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """x, y and z of points with three dimensions, as PostGIS sends them.

    That is EWKB: the byte order, a type, perhaps a reference system, and three doubles. An empty
    point has NaN for all of them, and no coordinates.
    """
    if isinstance(points, pa.ExtensionArray):
        points = points.storage
    _, places, content = points.buffers()
    count = len(points)
    if points.null_count == count or content is None:
        none = pa.nulls(count, pa.float64())
        return none, none, none
    offsets = np.frombuffer(places, np.int32)[points.offset : points.offset + count + 1]
    starts, ends = offsets[:-1], offsets[1:]
    there = None if not points.null_count else points.is_valid().to_numpy(zero_copy_only=False)
    if there is not None:
        starts, ends = starts[there], ends[there]
    numbers = _last_doubles(np.frombuffer(content, np.uint8), starts, ends)
    empty = np.isnan(numbers).all(axis=1)
    if there is None and not empty.any():
        x, y, z = (pa.array(axis) for axis in numbers.T)
        return x, y, z
    whole = np.full((count, 3), np.nan)
    mask = np.ones(count, bool)
    shown = slice(None) if there is None else there
    whole[shown], mask[shown] = numbers, empty
    x, y, z = (pa.array(axis, mask=mask) for axis in whole.T)
    return x, y, z


def _last_doubles(
    data: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The last three doubles of each value; (n, 3)."""
    first, length = int(starts[0]), int(ends[0] - starts[0])
    if int(ends[-1]) - first == len(ends) * length and (ends - starts == length).all():
        rows = data[first : int(ends[-1])].reshape(-1, length)[:, length - _POINT_BYTES :]
    else:
        rows = data[ends[:, None] + np.arange(-_POINT_BYTES, 0)]
    order = "<f8" if data[first] else ">f8"
    return np.ascontiguousarray(rows).view(order).astype(np.float64, copy=False)
