"""Columns of answers out of what PostgreSQL sends, a batch at a time and never row by row.

The server sends columns as they are stored, each once: to pick coordinates, to scale them and to
put 0 for NULL is cheaper here, where it is done for a whole batch at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from matengine.engine.query import selecting
from matengine.engine.query.model import Query
from matengine.engine.query.relation import Form, Relation
from matengine.engine.query.selecting import Output
from matengine.errors import Invalid

Resolution = tuple[float, float, float]
Stored = tuple[str, str]
"""A table, and a column of its source."""

_POINT_BYTES = 24


@dataclass(frozen=True)
class Shape:
    """What is read, and what becomes of it.

    stored: the columns that are read; keys: places of those that tell rows apart and order them.
    outputs: the columns of the answer, `schema` as Arrow has them, with `factors` by which the
    coordinates of each are scaled: multiplied by the first, then divided by the second. names: by
    table, the columns of the answer by what the table calls them. resolution_nm: nm of a unit of
    its positions; None where it has none.
    """

    stored: tuple[Stored, ...]
    keys: tuple[int, ...]
    outputs: tuple[Output, ...]
    factors: tuple[tuple[float, float], ...]
    schema: pa.Schema
    names: dict[str, dict[str, str]]
    resolution_nm: Resolution | None

    @cached_property
    def shown_keys(self) -> tuple[int, ...] | None:
        """The places of the keys among the columns of the answer; None where one is not shown."""
        shown = {
            (o.table, o.column.stored): place
            for place, o in enumerate(self.outputs)
            if o.column.form is Form.PLAIN
        }
        found = [shown.get(self.stored[key]) for key in self.keys]
        return None if None in found else tuple(p for p in found if p is not None)

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


def shape(query: Query, relations: Mapping[str, Relation]) -> Shape:
    """What must be read for a query, with its positions as they are asked for.

    Raises what `selecting.outputs` raises, and Invalid for a resolution that cannot be.
    """
    outputs = selecting.outputs(query, relations)
    wanted = _resolution(query, relations)
    seen = [(o.table, o.column.stored) for o in outputs if o.column.form is not Form.TRUE]
    keys = [
        (table, relation.key_column(key).stored)
        for table, relation in relations.items()
        for key in relation.key
    ]
    stored = tuple(dict.fromkeys([*seen, *keys]))
    return Shape(
        stored,
        tuple(map(stored.index, keys)),
        tuple(outputs),
        tuple(_factors(output, relations[output.table], wanted) for output in outputs),
        pa.schema([output.column.field.with_name(output.name) for output in outputs]),
        _names(outputs, relations),
        wanted if any(o.column.point for o in outputs) else None,
    )


def _names(
    outputs: Sequence[Output], relations: Mapping[str, Relation]
) -> dict[str, dict[str, str]]:
    names: dict[str, dict[str, str]] = {table: {} for table in relations}
    for output in outputs:
        names[output.table][output.column.name] = output.name
    return names


def _resolution(query: Query, relations: Mapping[str, Relation]) -> Resolution | None:
    """What positions of the answer are given in: as asked, else as the first table has them."""
    if query.resolution_nm is None:
        return next((r.resolution_nm for r in relations.values() if r.resolution_nm), None)
    try:
        x, y, z = (float(number) for number in query.resolution_nm)
    except (TypeError, ValueError):
        raise Invalid("A resolution is three numbers in nm: x, y, z.") from None
    if not all(math.isfinite(number) and number > 0 for number in (x, y, z)):
        raise Invalid(f"A resolution must be above zero nm, not {x:g}, {y:g}, {z:g}.")
    unknown = [r.name for r in relations.values() if r.resolution_nm is None and r.points]
    if unknown:
        raise Invalid(f"Nobody knows the resolution of the positions of '{unknown[0]}'.")
    return x, y, z


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
    if there is None and not np.isnan(numbers[:, 0]).any():
        x, y, z = (pa.array(axis) for axis in numbers.T)
        return x, y, z
    empty = np.isnan(numbers).all(axis=1)
    whole = np.full((count, 3), np.nan)
    mask = np.ones(count, bool)
    shown = slice(None) if there is None else there
    whole[shown], mask[shown] = numbers, empty
    x, y, z = (pa.array(axis, mask=mask) for axis in whole.T)
    return x, y, z


def _last_doubles(
    data: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The last three doubles of each value; (n, 3), its columns contiguous."""
    first, length, count = int(starts[0]), int(ends[0] - starts[0]), len(ends)
    order = "<f8" if data[first] else ">f8"
    if int(ends[-1]) - first == count * length and (ends - starts == length).all():
        begin = first + length - _POINT_BYTES
        found = np.ndarray((count, 3), order, data.data, begin, (length, 8))
    else:
        rows = data[ends[:, None] + np.arange(-_POINT_BYTES, 0)]
        found = rows.view(order)
    return np.asfortranarray(found, np.float64)
