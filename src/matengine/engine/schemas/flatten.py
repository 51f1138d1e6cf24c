"""Fields to table columns.

Names and order follow CAVE: a point `pt` becomes `pt_position`, `pt_supervoxel_id`, `pt_root_id`
next to each other, where the point stands among the fields. Supervoxel and root ids form the
segmentation side of a table, all else its annotation side; a flat table has both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from .model import POSITION, ROOT, SUPERVOXEL, Field, Kind, Schema

_TYPES: dict[Kind, tuple[str, str]] = {
    Kind.GEOMETRY: ("geometry(PointZ)", "fixed_size_list<item: double>[3]"),
    Kind.SEGMENTATION: ("bigint", "int64"),
    Kind.REFERENCE: ("bigint", "int64"),
    Kind.USER: ("bigint", "int64"),
    Kind.BIGINT: ("bigint", "int64"),
    Kind.INTEGER: ("integer", "int32"),
    Kind.FLOAT: ("double precision", "double"),
    Kind.STRING: ("varchar", "string"),
    Kind.BOOLEAN: ("boolean", "bool"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `arrow_type` is the type as pyarrow prints it.

    `indexed` means an N-D GiST index on a geometry and a b-tree on all else. `point` names the
    point that the column belongs to (see `Schema.bound_points` for `""`). `required` is for new
    rows only: every column is nullable in SQL.
    """

    name: str
    kind: Kind
    sql_type: str
    arrow_type: str
    required: bool
    indexed: bool
    choices: tuple[str | int, ...]
    point: str | None

    @property
    def in_segmentation(self) -> bool:
        """Whether the column is a supervoxel or root id."""
        return self.kind is Kind.SEGMENTATION


@dataclass(frozen=True, slots=True)
class BoundColumns:
    """The names of the three columns of one bound point."""

    point: str
    position: str
    supervoxel_id: str
    root_id: str


@cache
def flatten(schema: Schema) -> tuple[Column, ...]:
    """All columns of a schema but `id`, `created`, `deleted` and `superceded_id`, in order."""
    return tuple(_columns(schema))


flat_columns = flatten


def annotation_columns(schema: Schema) -> tuple[Column, ...]:
    """The columns of the live annotation table."""
    return tuple(column for column in flatten(schema) if not column.in_segmentation)


def segmentation_columns(schema: Schema) -> tuple[Column, ...]:
    """The supervoxel and root columns; none for a schema without bound points."""
    return tuple(column for column in flatten(schema) if column.in_segmentation)


def bound_columns(schema: Schema) -> tuple[BoundColumns, ...]:
    """The column names of each bound point, in the order of `Schema.bound_points`."""
    return tuple(
        BoundColumns(point, *(flat_name(point, part.name) for part in (POSITION, SUPERVOXEL, ROOT)))
        for point in schema.bound_points
    )


def flat_name(point: str, part: str) -> str:
    """The column of one part of a point: `pt` and `root_id` give `pt_root_id`."""
    return f"{point}_{part}" if point else part


def _columns(schema: Schema) -> Iterator[Column]:
    for field in schema.fields:
        if field.kind.is_point:
            for part in field.parts:
                yield _column(part, field.name, field.required and part.required)
        else:
            own_point = "" if "" in schema.bound_points else None
            yield _column(field, own_point, field.required)


def _column(field: Field, point: str | None, required: bool) -> Column:
    return Column(
        flat_name(point or "", field.name),
        field.kind,
        *_TYPES[field.kind],
        required,
        field.indexed,
        field.choices,
        point,
    )
