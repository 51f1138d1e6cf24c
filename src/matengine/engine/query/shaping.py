"""Columns of answers out of what PostgreSQL sends, a batch at a time and never row by row.

The server sends columns as they are stored, each once: to pick coordinates, to scale them and to
put 0 for NULL is cheaper here, where it is done for a whole batch at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from matengine.engine.query import selecting
from matengine.engine.query.model import Query
from matengine.engine.query.packing import Packing, Sent, packed
from matengine.engine.query.relation import Form, Relation
from matengine.engine.query.selecting import Output
from matengine.errors import Invalid

Resolution = tuple[float, float, float]
Stored = tuple[str, str]
"""A table, and a column of its source."""


@dataclass(frozen=True)
class Shape:
    """What is read, and what becomes of it.

    stored: the columns that are read; keys: places of those that tell rows apart and order them.
    packing: how they travel.
    outputs: the columns of the answer, `schema` as Arrow has them, with `factors` by which the
    coordinates of each are scaled: multiplied by the first, then divided by the second. names: by
    table, the columns of the answer by what the table calls them. resolution_nm: nm of a unit of
    its positions; None where it has none.
    """

    stored: tuple[Stored, ...]
    keys: tuple[int, ...]
    packing: Packing
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
        """The columns of the answer that a batch makes; raises as `Sent.points`."""
        sent = Sent(self.packing, batch)
        places = {column: place for place, column in enumerate(self.stored)}
        points: dict[Stored, Sequence[pa.Array]] = {}
        found = []
        for output, factors in zip(self.outputs, self.factors, strict=True):
            column, source = output.column, (output.table, output.column.stored)
            if column.form is Form.TRUE:
                found.append(pa.repeat(pa.scalar(True), batch.num_rows))
                continue
            if column.form in _AXES:
                if source not in points:
                    points[source] = sent.points(places[source])
                value = _scaled(points[source][_AXES[column.form]], *factors)
            else:
                value = sent.column(places[source])
            if column.form is Form.ZERO and value.null_count:
                value = pc.fill_null(value, 0)
            found.append(value if value.type == column.type else value.cast(column.type))
        return found


_AXES = {Form.X: 0, Form.Y: 1, Form.Z: 2}


def shape(query: Query, relations: Mapping[str, Relation]) -> Shape:
    """What must be read for a query, with its positions as they are asked for.

    Raises what `selecting.outputs` raises, and Invalid for a resolution that cannot be.
    """
    outputs = selecting.outputs(query, relations)
    wanted = _resolution(query, relations)
    seen = {(o.table, o.column.stored): o.column for o in outputs if o.column.form is not Form.TRUE}
    keys = {
        (table, column.stored): column
        for table, relation in relations.items()
        for column in map(relation.key_column, relation.key)
    }
    read = keys | seen
    stored = tuple(dict.fromkeys([*seen, *keys]))
    return Shape(
        stored,
        tuple(map(stored.index, keys)),
        Packing(tuple(packed(read[column]) for column in stored)),
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
