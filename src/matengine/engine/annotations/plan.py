"""Which column of a source becomes which column of an annotation table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matengine.engine import schemas
from matengine.engine.annotations import layout, points, values
from matengine.engine.annotations.faults import Faults, Marker
from matengine.engine.annotations.ids import MAX_ID
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.schemas import Column
from matengine.errors import did_you_mean

Ids = Literal["file", "sequence"]
# file column to table column; None leaves the column out
ColumnMap = Mapping[str, str | None]

# a dataset folder's truth to check against, never an input
_NOT_READ = "expected_"
_LOOKED_UP = "is found by the engine itself; leave it out with a column map to nothing"
_SYSTEM_TYPES = {
    "id": pa.int64(),
    "created": values.TIME,
    "deleted": values.TIME,
    "superceded_id": pa.int64(),
}


@dataclass(frozen=True)
class Target:
    """A column to fill, from one source column or, a point, from three (x, y, z)."""

    name: str
    type: pa.DataType
    required: bool
    choices: tuple[str | int, ...]
    sources: tuple[str, ...]

    def read(self, batch: pa.RecordBatch, first_row: int, faults: Faults) -> pa.Array:
        """The column of one batch in the type that is stored; what does not fit is marked."""
        columns = [batch.column(source) for source in self.sources]
        markers = [
            Marker(faults, source, first_row, column)
            for source, column in zip(self.sources, columns, strict=True)
        ]
        if len(columns) == 3:
            found = points.from_axes(columns, markers)
        elif self.type == layout.POINT:
            found = points.from_column(columns[0], markers[0])
        else:
            found = values.read(columns[0], self.type, markers[0])
        self._check(found, columns, markers[0])
        return found

    def _check(self, found: pa.Array, columns: list[pa.Array], marker: Marker) -> None:
        if self.required:
            empty = [~values.mask(column.is_valid()) for column in columns]
            marker.mark("missing", np.logical_and.reduce(empty), "is required")
        if self.choices:
            given = values.mask(found.is_valid())
            allowed = values.mask(pc.is_in(found, pa.array(self.choices, found.type)))
            listed = ", ".join(map(str, self.choices))
            marker.mark("choice", given & ~allowed, f"is not one of {listed}")
        if self.name in ("id", "superceded_id"):
            outside = values.mask(pc.or_(pc.less(found, 0), pc.greater(found, MAX_ID)))
            marker.mark("range", outside, "is not an id: those lie between 0 and 2^62")


@dataclass(frozen=True)
class Plan:
    """The columns to fill; `target` names that of the reference table's ids, if any."""

    targets: tuple[Target, ...]
    target: str | None

    def read(self, batch: pa.RecordBatch, first_row: int, faults: Faults) -> dict[str, pa.Array]:
        """All columns of one batch in the types that are stored."""
        columns = {t.name: t.read(batch, first_row, faults) for t in self.targets}
        _check_ends(columns, first_row, faults)
        return columns


def make(
    metadata: TableMetadata,
    source: pa.Schema,
    column_map: ColumnMap | None,
    ids: Ids,
    faults: Faults,
) -> Plan:
    """Match a source's columns with a table's; what does not match goes to the faults."""
    fields = layout.fields(metadata.schema_type)
    names = _renamed(source.names, column_map or {}, faults)
    targets: list[Target] = []
    for name, kind in _SYSTEM_TYPES.items():
        if name not in names:
            if name == "id" and ids == "file":
                faults.column(
                    "missing column", "id", "is required; or take new ids from the sequence"
                )
        elif ids == "file" or name not in ("id", "superceded_id"):
            required = name == "id"
            targets.append(Target(name, kind, required, (), (names.pop(name),)))
        elif name == "superceded_id":
            faults.column("column type", name, "names rows by ids that the file does not keep")
    for field in fields:
        found = _sources(field, names, faults)
        if found:
            kind = layout.arrow_type(field)
            targets.append(Target(field.name, kind, field.required, field.choices, found))
    for name in ("id", "valid", "superceded_id"):  # `valid` follows from `deleted`
        names.pop(name, None)
    _refuse_unknown(metadata, names, fields, faults)
    fitting = tuple(t for t in targets if _fits(t, source, faults))
    return Plan(fitting, layout.target_column(fields))


def _renamed(names: Iterable[str], column_map: ColumnMap, faults: Faults) -> dict[str, str]:
    """Table column to source column, for all source columns that are not left out."""
    present = list(names)
    for name in column_map:
        if name not in present:
            hint = did_you_mean(name, present) or ""
            faults.column("unknown column", name, f"is mapped, but not in the source. {hint}")
    renamed: dict[str, str] = {}
    for name in present:
        target = column_map.get(name, name)
        if target is None or (target == name and name.startswith(_NOT_READ)):
            continue
        if target in renamed:
            faults.column("repeated column", name, f"fills '{target}', as does '{renamed[target]}'")
        renamed[target] = name
    return renamed


def _sources(field: Column, names: dict[str, str], faults: Faults) -> tuple[str, ...]:
    """Take the source columns of one field out of `names`; none where they are missing."""
    one = names.pop(field.name, None)
    axes: list[str] = []
    if layout.is_point(field):
        wanted = [f"{field.name}_{axis}" for axis in points.AXES]
        present = [name for name in wanted if name in names]
        axes = [names.pop(name) for name in present]
        if one and axes:
            faults.column("repeated column", axes[0], f"gives the point that '{one}' gives too")
            return ()
        for name in wanted:
            if axes and name not in present:
                faults.column("missing column", name, "is missing beside the other coordinates")
        if axes:
            return tuple(axes) if len(axes) == 3 else ()
    if one:
        return (one,)
    if field.required:
        parts = f" (or {field.name}_x, _y and _z)" if layout.is_point(field) else ""
        faults.column("missing column", field.name, f"is required{parts}")
    return ()


def _refuse_unknown(
    metadata: TableMetadata, names: Mapping[str, str], fields: Iterable[Column], faults: Faults
) -> None:
    known = [*_SYSTEM_TYPES, *(field.name for field in fields)]
    axes = [(f, axis) for f in fields if layout.is_point(f) for axis in points.AXES]
    known += [f"{f.name}_{axis}" for f, axis in axes]
    short = {f"{f.point}_{axis}": f"{f.name}_{axis}" for f, axis in axes}
    segmentation = schemas.segmentation_columns(schemas.get(metadata.schema_type))
    looked_up = {column.name for column in segmentation}
    for target, name in names.items():
        if target in looked_up:
            faults.column("unknown column", name, _LOOKED_UP)
        else:
            hint = did_you_mean(short.get(target, target), known) or ""
            reason = f"is not in the schema '{metadata.schema_type}'. {hint}"
            faults.column("unknown column", name, reason.strip())


def _fits(target: Target, source: pa.Schema, faults: Faults) -> bool:
    single_point = target.type == layout.POINT and len(target.sources) == 1
    wanted = pa.float64() if len(target.sources) == 3 else target.type
    good = True
    for name in target.sources:
        kind = source.field(name).type
        if not (points.fits(kind) if single_point else values.fits(kind, wanted)):
            what = "points" if single_point else _WORDS[wanted]
            faults.column("column type", name, f"holds {kind}, but {what} are wanted")
            good = False
    return good


_WORDS = {
    pa.int64(): "whole numbers",
    pa.int32(): "whole numbers",
    pa.float64(): "numbers",
    pa.bool_(): "true and false",
    pa.string(): "texts",
    values.TIME: "times",
}


def _check_ends(columns: Mapping[str, pa.Array], first_row: int, faults: Faults) -> None:
    """A row ends after it began, and only rows that ended were superseded."""
    deleted = columns.get("deleted")
    if deleted is not None and "created" in columns:
        early = values.mask(pc.less(deleted, columns["created"]))
        Marker(faults, "deleted", first_row, deleted).mark("order", early, "is before `created`")
    newer = columns.get("superceded_id")
    if newer is not None:
        ended = False if deleted is None else values.mask(deleted.is_valid())
        alive = values.mask(newer.is_valid()) & ~np.asarray(ended)
        Marker(faults, "superceded_id", first_row, newer).mark(
            "order", alive, "is given, but the row was not deleted"
        )
