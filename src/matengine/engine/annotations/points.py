"""Positions from three columns, from lists or from text to one column of points."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from matengine.engine.annotations import values
from matengine.engine.annotations.faults import Marker
from matengine.engine.annotations.values import Mask

AXES = ("x", "y", "z")
# "[1, 2, 3]", "1 2 3", "(1.5,2,3)"
_WRITTEN = r"^\s*[\[(]?\s*(?P<x>[^,\s]+)[,\s]+(?P<y>[^,\s]+)[,\s]+(?P<z>[^,\s\])]+)\s*[\])]?\s*$"


def fits(kind: pa.DataType) -> bool:
    """Whether one column of this type may hold points."""
    listed = _is_list(kind) and values.is_number(kind.value_type)
    return bool(listed or values.is_text(kind) or pa.types.is_null(kind))


def from_axes(axes: Sequence[pa.Array], markers: Sequence[Marker]) -> pa.Array:
    """Points from the columns of x, y and z, in voxels; all null is no point."""
    doubles = [
        values.read(axis, pa.float64(), marker) for axis, marker in zip(axes, markers, strict=True)
    ]
    given = np.array([values.mask(axis.is_valid()) for axis in axes])
    any_given, all_given = np.logical_or.reduce(given), np.logical_and.reduce(given)
    for marker, here in zip(markers, given, strict=True):
        marker.mark(
            "point", any_given & ~here, "is empty, but the point's other coordinates are not"
        )
    xyz = np.stack([d.fill_null(np.nan).to_numpy() for d in doubles], axis=1)
    return _points(xyz, all_given)


def from_column(column: pa.Array, marker: Marker) -> pa.Array:
    """Points from one column of lists [x, y, z] or such text."""
    if pa.types.is_null(column.type):
        return _points(np.zeros((len(column), 3)), np.zeros(len(column), bool))
    if values.is_text(column.type):
        return _written(column, marker)
    given = values.mask(column.is_valid())
    three = values.mask(pc.equal(pc.list_value_length(column), 3))
    marker.mark("point", given & ~three, "is not three numbers x, y, z")
    listed = column.filter(pa.array(three)).flatten().cast(pa.float64(), safe=False)
    xyz = np.full((len(column), 3), np.nan)
    xyz[three] = listed.fill_null(np.nan).to_numpy().reshape(-1, 3)
    return _checked(xyz, three, marker)


def _written(text: pa.Array, marker: Marker) -> pa.Array:
    parts = pc.extract_regex(text, _WRITTEN)
    found = values.mask(parts.is_valid())
    marker.mark("point", values.mask(text.is_valid()) & ~found, "is not three numbers x, y, z")
    columns = [values.numbers(values.blank(parts.field(i), ~found), marker) for i in range(3)]
    xyz = np.stack([c.fill_null(np.nan).to_numpy() for c in columns], axis=1)
    return _checked(
        xyz, found & np.array([values.mask(c.is_valid()) for c in columns]).all(axis=0), marker
    )


def _checked(xyz: NDArray[np.float64], given: Mask, marker: Marker) -> pa.Array:
    wrong = given & ~np.isfinite(xyz).all(axis=1)
    marker.mark("point", wrong, "has a coordinate that is not a finite number")
    return _points(xyz, given & ~wrong)


def _points(xyz: NDArray[np.float64], given: Mask) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(xyz).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, 3, mask=pa.array(~given))


def _is_list(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))
