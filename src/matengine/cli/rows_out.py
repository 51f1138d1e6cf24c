"""Arrow batches as JSON, CSV, Arrow and Parquet, to a file that is whole or not there."""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from matengine.cli import console
from matengine.errors import Invalid


class Target:
    """Where an answer goes: stdout, or a file under a temporary name until it is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}") if path else None
        try:
            self.file: BinaryIO = self._part.open("wb") if self._part else sys.stdout.buffer
        except OSError as error:
            raise Invalid(f"{path} cannot be written: {error.strerror}.") from error

    def keep(self) -> None:
        """Give the file its name."""
        self.file.flush()
        if self._path and self._part:
            self._part.replace(self._path)

    def close(self) -> None:
        """Remove what was not kept."""
        if self._part:
            self.file.close()
            self._part.unlink(missing_ok=True)


def save(reader: pa.RecordBatchReader, kind: str, path: Path | None) -> int:
    """Write all rows as json, csv, arrow or parquet, to a file or to stdout; gives their number."""
    with closing(Target(path)) as target:
        count = WRITERS[kind](reader, target)
        target.keep()
    return count


def as_table(reader: pa.RecordBatchReader, title: str) -> None:
    """All rows on the terminal; the caller has limited them."""
    columns = _positions_together(reader.read_all().to_pydict())
    console.show_table(list(columns), zip(*columns.values(), strict=True), title)


def _positions_together(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The three columns of a position as one, which is narrower."""
    together: dict[str, list[Any]] = {}
    for name, values in columns.items():
        point = name[:-2]
        axes = [columns.get(f"{point}_{axis}") for axis in "xyz"]
        if name[-2:] not in ("_x", "_y", "_z") or None in axes:
            together[name] = values
        elif point not in together:
            together[point] = [_position(*place) for place in zip(*axes, strict=True)]
    return together


def _position(x: float | None, y: float | None, z: float | None) -> str:
    return "" if x is None or y is None or z is None else f"{x:g} {y:g} {z:g}"


def as_json(reader: pa.RecordBatchReader, target: Target) -> int:
    """An array with an object a row."""
    count = 0
    target.file.write(b"[")
    for batch in reader:
        for row in batch.to_pylist():
            target.file.write(b",\n" if count else b"\n")
            target.file.write(orjson.dumps(row, option=orjson.OPT_UTC_Z))
            count += 1
    target.file.write(b"\n]\n")
    return count


def as_csv(reader: pa.RecordBatchReader, target: Target) -> int:
    with pyarrow.csv.CSVWriter(target.file, reader.schema) as writer:
        return _all(reader, writer.write_batch)


def as_arrow(reader: pa.RecordBatchReader, target: Target) -> int:
    """An IPC stream."""
    _refuse_terminal(target)
    with pa.ipc.new_stream(target.file, reader.schema) as writer:
        return _all(reader, writer.write_batch)


def as_parquet(reader: pa.RecordBatchReader, target: Target) -> int:
    _refuse_terminal(target)
    with pq.ParquetWriter(target.file, reader.schema, compression="zstd") as writer:
        return _all(reader, writer.write_batch)


def _all(reader: pa.RecordBatchReader, write: Callable[[Any], None]) -> int:
    count = 0
    for batch in reader:
        write(batch)
        count += batch.num_rows
    return count


def _refuse_terminal(target: Target) -> None:
    if target.file.isatty():
        raise Invalid("That would be bytes on a terminal.", "Give a file: --out FILE.")


WRITERS: dict[str, Callable[[pa.RecordBatchReader, Target], int]] = {
    "json": as_json,
    "csv": as_csv,
    "arrow": as_arrow,
    "parquet": as_parquet,
}
