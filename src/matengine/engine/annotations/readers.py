"""Sources of rows: files and columns in memory, read batch by batch, as often as wanted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from matengine.errors import Invalid, NotFound

READ_ROWS = 65_536
Given: TypeAlias = str | Path | pa.Table | Mapping[str, Any]
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Source:
    """Rows that can be streamed more than once. `name` is for messages."""

    name: str
    schema: pa.Schema
    stream: Callable[[], Batches]

    def batches(self, rows: int = READ_ROWS, skip: int = 0) -> Batches:
        """The rows behind the first `skip`, `rows` at a time; only the last batch is smaller."""
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in self._read():
            passed = min(skip, batch.num_rows)
            skip -= passed
            held.append(batch.slice(passed))
            count += batch.num_rows - passed
            while count >= rows:
                table = pa.Table.from_batches(held)
                yield _one(table.slice(0, rows))
                held = table.slice(rows).to_batches()
                count -= rows
        if count:
            yield _one(pa.Table.from_batches(held))

    def _read(self) -> Batches:
        try:
            for batch in self.stream():
                yield pa.RecordBatch.from_arrays(
                    [_plain(column) for column in batch.columns], schema=self.schema
                )
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(self.name, error) from error


def open_source(given: Given) -> Source:
    """A source for a Parquet, Arrow IPC (Feather) or CSV file, an Arrow table, or arrays by name.

    Arrays are one-dimensional, or of shape (n, 3) for points. CSV may be compressed (.csv.gz); its
    first line names the columns, an empty field is null, a quoted empty field an empty text.
    Raises NotFound for a missing file, Invalid for one that cannot be read or repeats a column.
    """
    if isinstance(given, pa.Table):
        source = Source("The Arrow table", given.schema, lambda: iter(given.to_batches()))
    elif isinstance(given, Mapping):
        table = _from_arrays(given)
        source = Source("The dict of arrays", table.schema, lambda: iter(table.to_batches()))
    elif isinstance(given, str | Path):
        source = _from_file(Path(given))
    else:
        raise Invalid(
            f"Rows cannot be read from a {type(given).__name__}.",
            "Give a path, an Arrow table or a dict of arrays.",
        )
    repeated = {name for name in source.schema.names if source.schema.names.count(name) > 1}
    if repeated:
        raise Invalid(f"{source.name} has more than one column '{min(repeated)}'.")
    # categories are read as their values
    plain = [pa.field(f.name, f.type.value_type) if _coded(f.type) else f for f in source.schema]
    return replace(source, schema=pa.schema(plain))


def _coded(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind))


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if _coded(column.type) else column


def _one(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def _unreadable(name: str, error: Exception) -> Invalid:
    return Invalid(f"{name} cannot be read: {str(error).splitlines()[0]}")


def _from_arrays(given: Mapping[str, Any]) -> pa.Table:
    try:
        return pa.table({name: _array(values) for name, values in given.items()})
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _unreadable("The dict of arrays", error) from error


def _array(values: Any) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 3:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 3)
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)


def _from_file(path: Path) -> Source:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    for suffixes, opener in _OPENERS.items():
        if path.name.lower().endswith(suffixes):
            try:
                return Source(path.name, *opener(path))
            except (pa.ArrowInvalid, OSError) as error:
                raise _unreadable(path.name, error) from error
    raise Invalid(
        f"{path.name} is of no kind that can be read.",
        "Use .parquet, .arrow, .feather, .csv or .csv.gz.",
    )


def _parquet(path: Path) -> tuple[pa.Schema, Callable[[], Batches]]:
    def stream() -> Batches:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(READ_ROWS)

    return pq.read_schema(path), stream


def _ipc(path: Path) -> tuple[pa.Schema, Callable[[], Batches]]:
    def stream() -> Batches:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
            for number in range(file.num_record_batches):
                yield file.get_batch(number)

    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
        return file.schema, stream


def _csv(path: Path) -> tuple[pa.Schema, Callable[[], Batches]]:
    parse = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(pa.input_stream(str(path)), parse_options=parse) as file:
        names = file.schema.names
    # text all through: our own reading can say which value of which row is wrong
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )

    def stream() -> Batches:
        with csv.open_csv(
            pa.input_stream(str(path)), parse_options=parse, convert_options=convert
        ) as file:
            yield from file

    return pa.schema([(name, pa.string()) for name in names]), stream


_OPENERS: dict[tuple[str, ...], Callable[[Path], tuple[pa.Schema, Callable[[], Batches]]]] = {
    (".parquet", ".pq"): _parquet,
    (".arrow", ".feather", ".ipc"): _ipc,
    (".csv", ".csv.gz"): _csv,
}
