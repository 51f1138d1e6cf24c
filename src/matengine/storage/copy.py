"""Columns into PostgreSQL as one binary COPY stream, built by NumPy without a loop over rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import sql

from matengine.errors import Invalid
from matengine.storage.connections import Connection

BATCH_ROWS = 65_536
# a batch of long strings is cut further, so that memory stays bounded
BATCH_BYTES = 1 << 26

# PostgreSQL manual, "COPY", section "Binary Format": signature, flags, header extension length
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
# PostgreSQL counts microseconds from 2000-01-01, Arrow from 1970-01-01
_EPOCH_SHIFT_US = 946_684_800_000_000
# EWKB (PostGIS manual): little-endian, the type Point with its Z flag
_EWKB_POINT_Z = np.array((1, 0x80000001), np.dtype([("order", "u1"), ("type", "<u4")]))

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class _Field:
    """One column of a batch: for each row its byte length (-1 is NULL), and the rows' bytes."""

    lengths: NDArray[np.int64]
    payload: Bytes
    width: int | None  # bytes of every value that is not NULL; None where they differ

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes in the stream: a four-byte length, then the value."""
        return 4 + np.maximum(self.lengths, 0)


def copy_columns(conn: Connection, table: tuple[str, str], columns: pa.Table) -> int:
    """Append the rows of `columns` to `table` (schema, name); columns are matched by name.

    Arrow types map to SQL types: int64 bigint, int32 integer, double and float double precision
    and real, bool boolean, string varchar, timestamp (UTC) timestamptz, FixedSizeList<double>[3]
    (x, y, z) geometry(PointZ). Nulls, and columns of Arrow's null type, become NULL. The target's
    columns must have just these types.

    Returns the number of rows. Raises Invalid for a type not listed, for a point with a null
    coordinate and for text with a zero byte. Errors of the table (a repeated key) are psycopg's.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(*table), sql.SQL(", ").join(map(sql.Identifier, columns.column_names))
    )
    encoders = [_encoder(field) for field in columns.schema]
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_HEADER)
        for batch in _batches(columns):
            copy.write(_rows(encoders, batch))
        copy.write(_TRAILER)
    return int(columns.num_rows)


def _batches(columns: pa.Table) -> Iterator[pa.RecordBatch]:
    rows = max(1, columns.num_rows)
    per_row = max(1, columns.nbytes // rows)
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // per_row))
    for start in range(0, columns.num_rows, size):
        # one chunk a column, so that a batch is never needlessly small
        yield from columns.slice(start, size).combine_chunks().to_batches()


def _rows(encoders: list[Callable[[pa.Array], _Field]], batch: pa.RecordBatch) -> memoryview:
    """The stream of one batch: for each row a field count, then the fields."""
    fields = [encode(column) for encode, column in zip(encoders, batch.columns, strict=True)]
    row_sizes = np.full(batch.num_rows, 2, np.int64)
    for field in fields:
        row_sizes += field.sizes
    ends = np.cumsum(row_sizes)
    stream = np.empty(int(ends[-1]), np.uint8)
    at = ends - row_sizes
    _scatter(stream, at, np.full(batch.num_rows, len(fields), ">i2"))
    at = at + 2
    for field in fields:
        _write(stream, at, field)
        at = at + field.sizes
    return stream.data


def _write(stream: Bytes, at: NDArray[np.int64], field: _Field) -> None:
    _scatter(stream, at, field.lengths.astype(">i4"))
    given = field.lengths >= 0
    if not given.any():
        return
    start = at[given] + 4
    if field.width is not None:
        _scatter(stream, start, field.payload.view(f"V{field.width}"))
        return
    lengths = field.lengths[given]
    first = np.cumsum(lengths) - lengths  # of each value's bytes in the payload
    stream[np.repeat(start - first, lengths) + np.arange(len(field.payload))] = field.payload


def _scatter(stream: Bytes, at: NDArray[np.int64], values: NDArray[Any]) -> None:
    """Put each value's bytes at its byte offset: `stream` seen as overlapping windows."""
    width = values.dtype.itemsize
    windows: NDArray[Any] = np.ndarray((len(stream) - width + 1,), f"V{width}", stream, 0, (1,))
    windows[at] = values.view(f"V{width}")


# Arrow type: the same in network byte order
_FIXED = {
    pa.int64(): ">i8",
    pa.int32(): ">i4",
    pa.float64(): ">f8",
    pa.float32(): ">f4",
    pa.bool_(): "u1",
}


def _encoder(field: pa.Field) -> Callable[[pa.Array], _Field]:
    kind = field.type
    if kind in _FIXED:
        wire = _FIXED[kind]
        return lambda column: _fixed(column, column.drop_null(), wire)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return lambda column: _text(column, field.name)
    if (
        pa.types.is_fixed_size_list(kind)
        and kind.list_size == 3
        and kind.value_type == pa.float64()
    ):
        return lambda column: _points(column, field.name)
    if pa.types.is_timestamp(kind):
        return _times
    if pa.types.is_null(kind):
        return lambda column: _field(column, np.empty(0, np.uint8), 0)
    raise Invalid(f"The column '{field.name}' has the type {kind}, which cannot be stored.")


def _fixed(column: pa.Array, values: pa.Array, wire: str) -> _Field:
    """`values` are those of `column` that are not null."""
    numbers = values.to_numpy(zero_copy_only=False).astype(wire)
    return _field(column, numbers.view(np.uint8), numbers.dtype.itemsize)


def _field(column: pa.Array, payload: Bytes, width: int) -> _Field:
    return _Field(np.where(_given(column), width, -1).astype(np.int64), payload, width)


def _given(column: pa.Array) -> NDArray[np.bool_]:
    given: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return given


def _times(column: pa.Array) -> _Field:
    micros = column.drop_null().cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return _fixed(column, pc.subtract(micros, _EPOCH_SHIFT_US), ">i8")


def _points(column: pa.Array, name: str) -> _Field:
    coordinates = column.flatten()  # of the points that are not null
    if coordinates.null_count:
        raise Invalid(f"A point in '{name}' has a coordinate that is null.")
    xyz = coordinates.to_numpy().reshape(-1, 3)
    points = np.empty(len(xyz), np.dtype([("head", _EWKB_POINT_Z.dtype), ("xyz", "<f8", 3)]))
    points["head"] = _EWKB_POINT_Z
    points["xyz"] = xyz
    return _field(column, points.view(np.uint8), points.dtype.itemsize)


def _text(column: pa.Array, name: str) -> _Field:
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy().astype(np.int64)
    values = column.drop_null().cast(pa.large_string())
    _, offsets, data = values.buffers()
    payload = np.empty(0, np.uint8)
    if len(values) and data is not None:
        bounds = np.frombuffer(offsets, np.int64)[values.offset :][: len(values) + 1]
        payload = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    if not payload.all():
        raise Invalid(f"A text in '{name}' contains a zero byte, which PostgreSQL cannot store.")
    return _Field(lengths, payload, None)
