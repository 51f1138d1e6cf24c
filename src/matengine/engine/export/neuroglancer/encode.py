"""Annotations in Neuroglancer's binary form, little-endian, made by columns."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from matengine.engine.export.neuroglancer.shape import Shape, numbers_of


def many(rows: pa.Table, shape: Shape) -> bytes:
    """A list of annotations: their number (uint64), each in turn, then all ids (uint64)."""
    count = np.array([rows.num_rows], "<u8")
    ids = _ints(rows["id"]).astype("<u8")
    return count.tobytes() + _records(rows, shape).tobytes() + ids.tobytes()


def one(rows: pa.Table, shape: Shape) -> bytes:
    """The only annotation of `rows`: itself, then for each relationship how many ids, and these."""
    parts = [_records(rows, shape).tobytes()]
    for name in shape.relationships:
        related = [i for i in _ints(rows[name]).tolist() if i]
        parts.append(np.array([len(related)], "<u4").tobytes())
        parts.append(np.array(related, "<u8").tobytes())
    return b"".join(parts)


def _records(rows: pa.Table, shape: Shape) -> NDArray[np.void]:
    records = np.zeros(rows.num_rows, shape.record)
    axes = [f"{point}_{axis}" for point in shape.points for axis in "xyz"]
    for place, name in enumerate(axes):
        records["geometry"][:, place] = rows[name].to_numpy()
    for name, kind in shape.numbers:
        missing = np.nan if kind == pa.float64() else 0
        records[name] = rows[name].fill_null(missing).to_numpy()
    for name in shape.booleans:
        # 0 is for none, as in texts
        records[name] = rows[name].cast(pa.int32()).fill_null(-1).to_numpy() + 1
    for name in shape.texts:
        records[name] = numbers_of(rows[name])
    return records


def _ints(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.fill_null(0).to_numpy(), np.int64)
