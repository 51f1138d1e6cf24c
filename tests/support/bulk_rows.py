"""Tables and rows for tests of bulk load."""

from typing import Any

import numpy as np
import pyarrow as pa

from matengine.engine.annotations import tables
from matengine.storage.connections import Connection

NM = (4.0, 4.0, 40.0)


def make(conn: Connection, name: str, schema: str, **more: Any) -> None:
    tables.create_table(conn, name, schema, voxel_resolution_nm=NM, description="d", **more)


def synapses(n: int, first: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(n + first)
    columns: dict[str, Any] = {"id": np.arange(first, first + n)}
    for point in ("pre_pt", "post_pt", "ctr_pt"):
        for axis in "xyz":
            columns[f"{point}_position_{axis}"] = rng.integers(0, 10_000, n).astype(np.int32)
    columns["size"] = pa.array(rng.random(n), mask=rng.random(n) < 0.3)
    return columns
