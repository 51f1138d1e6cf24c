"""What a table's annotations are to Neuroglancer: geometry, properties, relationships."""

import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from matengine.engine.query.relation import Relation
from matengine.errors import Invalid

ROOT = "_root_id"
# a text column with more values than this holds free text, which no list of values can show
MOST_LABELS = 1_000
# points that describe an annotation rather than being it
_BESIDES = ("ctr_pt_position", "bb_start_position", "bb_end_position")


@dataclass(frozen=True)
class Shape:
    """`points` are one position (a point) or two (a line), in the order of the schema.

    Properties are 32 bits wide, so that none needs padding. `texts` become lists of values, whose
    numbers are checksums of the texts: they mean the same in every answer, whatever texts come.
    """

    points: tuple[str, ...]
    numbers: tuple[tuple[str, pa.DataType], ...]
    booleans: tuple[str, ...]
    texts: tuple[str, ...]
    relationships: tuple[str, ...]

    @property
    def is_line(self) -> bool:
        return len(self.points) == 2

    @property
    def columns(self) -> list[str]:
        """All columns that an annotation is made from, after its id."""
        axes = [f"{point}_{axis}" for point in self.points for axis in "xyz"]
        numbers = [name for name, _ in self.numbers]
        return [*axes, *numbers, *self.booleans, *self.texts, *self.relationships]

    @property
    def record(self) -> np.dtype[np.void]:
        """Geometry and properties of one annotation, as they are encoded."""
        return np.dtype(
            [("geometry", "<f4", (3 * len(self.points),))]
            + [(n, "<f4" if t == pa.float64() else "<i4") for n, t in self.numbers]
            + [(name, "<u4") for name in (*self.booleans, *self.texts)]
        )


def of(relation: Relation, texts: dict[str, list[str]]) -> Shape:
    """The shape of a table; `texts` are the values of its text columns.

    Raises Invalid for a table without positions.
    """
    points = [name for name in relation.points if name not in _BESIDES] or [*relation.points]
    if not points:
        raise Invalid(f"'{relation.name}' has no positions, so there is nothing to show in space.")
    bound = [p for p in points if p.removesuffix("_position") + ROOT in relation.by_name]
    chosen = (bound or points)[:2]
    plain = [
        c
        for c in relation.columns
        if c.point is None and c.name not in ("id", "valid") and not c.name.endswith("_id")
    ]
    return Shape(
        points=tuple(chosen),
        numbers=tuple((c.name, c.type) for c in plain if c.type in (pa.float64(), pa.int32())),
        booleans=tuple(c.name for c in plain if c.type == pa.bool_()),
        texts=tuple(
            c.name
            for c in plain
            if c.type == pa.string() and len(texts.get(c.name, ())) <= MOST_LABELS
        ),
        relationships=tuple(c.name for c in relation.columns if c.name.endswith("pt" + ROOT)),
    )


def number_of(text: str) -> int:
    """The number by which a text value is encoded, uint32; 0 is for none."""
    return zlib.crc32(text.encode()) or 1


def numbers_of(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint32]:
    """A text column as numbers (N,) uint32."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    coded = column.dictionary_encode()
    numbers = np.array([number_of(text) for text in coded.dictionary.to_pylist()] or [0], "<u4")
    places = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(np.asarray(coded.indices.is_null()), 0, numbers[places]).astype("<u4")
