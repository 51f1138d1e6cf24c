"""Ids, times and points travel as one value a row.

The driver takes its time by the field, whatever that holds, and PostgreSQL is as fast either way.
In the value each column has a fixed width and its place, so a whole batch is taken apart at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import accumulate
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine.query.points import Axes, of_binary, of_rows
from matengine.engine.query.relation import TIME, Column, Form
from matengine.errors import Invalid


class Packed(Enum):
    """What travels so: its bytes, and how it is written."""

    ID = 8, "int8send({})"
    ID_OR_0 = 8, "int8send(coalesce({}, 0))"
    TIME = 8, "timestamptz_send({})"  # microseconds since 2000
    # WKB: the byte order, a type, three doubles; an empty point has no coordinates, as NULL
    POINT = 29, "coalesce(ST_AsBinary({}), ST_AsBinary('POINT Z EMPTY'::geometry))"

    def __init__(self, width: int, written: str) -> None:
        self.width = width
        self.written = written


def packed(column: Column) -> Packed | None:
    """How a column of the source of this one may travel; None: by itself."""
    if column.form in (Form.X, Form.Y, Form.Z):
        return Packed.POINT
    if column.form is Form.ZERO:
        return Packed.ID_OR_0
    return _ALWAYS.get(column.type) if column.always else None


_ALWAYS = {pa.int64(): Packed.ID, TIME: Packed.TIME}
_SINCE_1970 = np.datetime64("2000-01-01", "us").astype(np.int64)


def called(place: int) -> sql.Identifier:
    """The name of a column that is read."""
    return sql.Identifier(f"c{place}")


@dataclass(frozen=True)
class Packing:
    """How columns travel, each by its place: in the first value of a row, or by itself after it."""

    kinds: tuple[Packed | None, ...]

    @classmethod
    def apart(cls, count: int) -> Self:
        """Each column by itself."""
        return cls((None,) * count)

    @cached_property
    def together(self) -> tuple[int, ...]:
        """Places of the columns in the first value; what is short is first, being copied most."""
        found = [place for place, kind in enumerate(self.kinds) if kind]
        found.sort(key=lambda place: self.width(place))
        return tuple(found) if len(found) > 1 else ()

    @cached_property
    def starts(self) -> dict[int, int]:
        """Where each of them begins in the value."""
        widths = (self.width(place) for place in self.together)
        return dict(zip(self.together, accumulate(widths, initial=0), strict=False))

    @cached_property
    def length(self) -> int:
        """Bytes of the value."""
        return sum(self.width(place) for place in self.together)

    @cached_property
    def alone(self) -> dict[int, int]:
        """The places of all other columns, and among what is sent."""
        first = 1 if self.together else 0
        others = [place for place in range(len(self.kinds)) if place not in self.together]
        return {place: sent for sent, place in enumerate(others, first)}

    def width(self, place: int) -> int:
        """Bytes of a column in the value; 0 of one by itself."""
        kind = self.kinds[place]
        return kind.width if kind else 0

    def sent(self, columns: Sequence[sql.Identifier]) -> sql.Composed:
        """What a SELECT lists to read the columns."""
        listed = [sql.SQL("{} AS {}").format(columns[place], called(place)) for place in self.alone]
        values = [
            sql.SQL(kind.written).format(columns[place])
            for place in self.together
            if (kind := self.kinds[place])
        ]
        if values:
            listed.insert(0, sql.SQL("{} AS packed").format(sql.SQL(" || ").join(values)))
        return sql.SQL(", ").join(listed)


@dataclass(frozen=True)
class Sent:
    """A batch as it was sent, its columns by their places."""

    packing: Packing
    batch: pa.RecordBatch

    def column(self, place: int) -> pa.Array:
        """A column, but for positions; raises as `points`."""
        if place in self.packing.alone:
            return self.batch.column(self.packing.alone[place])
        values = self._values(place).view(">i8")[:, 0].astype(np.int64)
        if self.packing.kinds[place] is not Packed.TIME:
            return pa.array(values)
        return pa.array(values + _SINCE_1970).view(TIME)

    def points(self, place: int) -> Axes:
        """x, y and z of a position.

        Raises Invalid where it is no point of three dimensions.
        """
        if place in self.packing.alone:
            return of_binary(self.batch.column(self.packing.alone[place]))
        return of_rows(self._values(place))

    def _values(self, place: int) -> NDArray[np.uint8]:
        """What the first value of each row has of a column, (n, width) bytes."""
        start = self.packing.starts[place]
        return self._rows[:, start : start + self.packing.width(place)]

    @cached_property
    def _rows(self) -> NDArray[np.uint8]:
        sent, length = self.batch.column(0), self.packing.length
        _, places, content = sent.buffers()
        if not len(sent) or content is None:
            return np.empty((0, length), np.uint8)
        ends = np.frombuffer(places, np.int32)[sent.offset : sent.offset + len(sent) + 1]
        if (np.diff(ends) != length).any():
            raise Invalid("A position is no point of three dimensions, so it has no x, y and z.")
        return np.frombuffer(content, np.uint8)[ends[0] : ends[-1]].reshape(-1, length)
