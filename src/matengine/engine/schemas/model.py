"""What a schema is: a named list of fields, each of one kind.

Everything about the layout of a table, the JSON that describes it and the check of a row follows
from these declarations.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a field holds. The three kinds of point are nested: they flatten to several columns."""

    BOUND_POINT = "bound point"  # position, supervoxel and root: lies in the segmentation
    SPATIAL_POINT = "spatial point"  # a position only
    DERIVED_POINT = "derived point"  # a bound point that names a chunk it depends on
    GEOMETRY = "geometry"  # a bare position: x, y, z in voxels of the table's resolution
    SEGMENTATION = "segmentation id"  # supervoxel or root id; lives on the segmentation side
    REFERENCE = "reference"  # id of a row in the table that this one is about
    USER = "user id"  # filled in by the server
    BIGINT = "bigint"
    INTEGER = "integer"  # 32 bits
    FLOAT = "float"  # double precision
    STRING = "string"
    BOOLEAN = "boolean"

    @property
    def is_point(self) -> bool:
        """Whether the field is nested (`{"position": [x, y, z]}`) rather than a single value."""
        return self in _PARTS


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema, as clients write it.

    `choices` closes the list of values, `indexed` asks for an index (N-D GiST on a position, a
    b-tree otherwise). `default` and `order` are only told to readers of the JSON schema.
    """

    name: str
    kind: Kind
    about: str = ""
    required: bool = True
    choices: tuple[str | int, ...] = ()
    indexed: bool = False
    default: str | bool | None = None
    order: int | None = None

    @property
    def parts(self) -> tuple["Field", ...]:
        """The fields inside a point, in column order; none for a field that is no point."""
        return _PARTS.get(self.kind, ())


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A kind of annotation. `definition` is its name inside JSON schemas."""

    name: str
    definition: str
    about: str
    fields: tuple[Field, ...]

    @property
    def is_reference(self) -> bool:
        """Whether its rows are about rows of another table (`target_id`)."""
        return any(field.kind is Kind.REFERENCE for field in self.fields)

    @property
    def points(self) -> tuple[Field, ...]:
        """The nested points, bound or not, in declaration order."""
        return tuple(field for field in self.fields if field.kind.is_point)

    @property
    def needs_segmentation(self) -> bool:
        """Whether it has supervoxel and root ids, and so needs lookups."""
        return any(
            part.kind is Kind.SEGMENTATION
            for field in self.fields
            for part in field.parts or [field]
        )

    @property
    def bound_points(self) -> tuple[str, ...]:
        """Names of the points that have a supervoxel and a root.

        The name is `""` where the schema itself is such a point (`derived_spatial_point` alone), so
        take column names from `flatten.bound_columns`.
        """
        nested = tuple(point.name for point in self.points if SUPERVOXEL in point.parts)
        return ("", *nested) if SUPERVOXEL in self.fields else nested


POSITION = Field("position", Kind.GEOMETRY, "x, y, z in voxels", indexed=True)
SUPERVOXEL = Field("supervoxel_id", Kind.SEGMENTATION, "supervoxel at the position", required=False)
ROOT = Field("root_id", Kind.SEGMENTATION, "root of the supervoxel", required=False, indexed=True)
CHUNK = Field("dependent_chunk", Kind.BIGINT, "chunk that the point depended on when made")
LEVEL = Field("level", Kind.BIGINT, "layer of that chunk", required=False)

_PARTS: dict[Kind, tuple[Field, ...]] = {
    Kind.SPATIAL_POINT: (POSITION,),
    Kind.BOUND_POINT: (POSITION, SUPERVOXEL, ROOT),
    Kind.DERIVED_POINT: (POSITION, SUPERVOXEL, ROOT, CHUNK, LEVEL),
}
