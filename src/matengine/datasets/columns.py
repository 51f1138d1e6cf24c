"""Columns of the folder's Parquet files, brought to one type each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from matengine.datasets.faults import Faults
from matengine.errors import did_you_mean

Kind = Literal[
    "integer", "small integer", "number", "boolean", "string", "time", "milliseconds", "ids"
]

_TYPES: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "small integer": pa.int32(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "milliseconds": pa.timestamp("ms", tz="UTC"),
    "ids": pa.list_(pa.int64()),
}
_SAID: dict[Kind, str] = {
    "integer": "whole numbers",
    "small integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "string": "text",
    "time": "timestamps (UTC)",
    "milliseconds": "timestamps (UTC)",
    "ids": "lists of ids",
}


@dataclass(frozen=True)
class Column:
    """A wanted column: an optional one may be absent, a nullable one may hold nulls.

    Where there are choices, every value must be one of them.
    """

    name: str
    kind: Kind
    optional: bool = False
    nullable: bool = False
    choices: tuple[str | int, ...] = ()


def read_columns(folder: Path, file: str, wanted: list[Column], faults: Faults) -> pa.Table | None:
    """The wanted columns of a Parquet file, each cast to the one type of its kind.

    Absent optional columns are left out, columns that nobody wants are not read. None, with
    faults noted, where the file cannot be read or a column is absent or of another type.
    """
    present = _column_names(folder, file, faults)
    if present is None:
        return None
    columns: dict[str, pa.ChunkedArray] = {}
    unused = set(present) - {column.name for column in wanted}
    good = True
    for column in wanted:
        if column.name in present:
            raw = pq.read_table(folder / file, columns=[column.name])[column.name]
            cast = _cast(raw, column, file, faults)
            good = good and cast is not None
            columns[column.name] = cast
        elif not column.optional:
            hint = did_you_mean(column.name, unused)
            faults.add(file, f"column {column.name} is missing. {hint or ''}".rstrip())
            good = False
    return pa.table(columns) if good else None


def _column_names(folder: Path, file: str, faults: Faults) -> list[str] | None:
    path = folder / file
    if not path.is_file():
        faults.add(file, "the file is missing")
        return None
    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        faults.add(file, "is no Parquet file")
        return None
    return names


def _cast(
    raw: pa.ChunkedArray, column: Column, file: str, faults: Faults
) -> pa.ChunkedArray | None:
    if not _fits(raw.type, column.kind):
        faults.add(
            file, f"column {column.name} holds {raw.type}, it should hold {_SAID[column.kind]}"
        )
        return None
    if raw.null_count and not column.nullable:
        faults.add_rows(file, column.name, raw.is_null().to_numpy(), "the value is missing")
        return None
    if column.kind in ("time", "milliseconds") and raw.type.tz is None:
        raw = pc.assume_timezone(raw, "UTC")
    # microseconds cut finer times; milliseconds must be exact, as a chunkedgraph's times are
    exact = column.kind != "time"
    try:
        cast = raw.cast(_TYPES[column.kind], safe=exact)
    except pa.ArrowInvalid:
        reason = "finer than a millisecond" if column.kind == "milliseconds" else "out of range"
        faults.add(file, f"column {column.name} holds a value that is {reason}")
        return None
    if column.choices:
        known = pc.is_in(cast, pa.array(column.choices, cast.type))
        bad = pc.and_(cast.is_valid(), pc.invert(known)).to_numpy()
        faults.add_rows(file, column.name, bad, f"it must be one of {column.choices}")
    return cast


def _fits(found: pa.DataType, kind: Kind) -> bool:
    is_ = pa.types
    if is_.is_dictionary(found):
        found = found.value_type
    if is_.is_null(found):
        return True
    if kind in ("integer", "small integer"):
        return bool(is_.is_integer(found))
    if kind == "number":
        return bool(is_.is_integer(found) or is_.is_floating(found))
    if kind == "boolean":
        return bool(is_.is_boolean(found))
    if kind == "string":
        return bool(is_.is_string(found) or is_.is_large_string(found))
    if kind == "ids":
        lists = is_.is_list(found) or is_.is_large_list(found)
        return bool(lists and (is_.is_integer(found.value_type) or is_.is_null(found.value_type)))
    return bool(is_.is_timestamp(found))


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """A column without nulls as a NumPy array (times as int64 of their unit)."""
    column = table[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    array: NDArray[Any] = column.to_numpy()
    return array
