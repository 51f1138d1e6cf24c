"""Four supervoxels in a row, with a graph and three edits, served by the application."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from flask.testing import FlaskClient
from raw_volume import write_raw_volume

from matengine.api.app import create_app
from matengine.engine import datastacks
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections, pools
from matengine.times import to_ms

START = datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MS = timedelta(milliseconds=1)
# four supervoxels in a row of four chunks along x, each 8 voxels of 10 nm
SV = [(1 << 56) | (x << 46) | 1 for x in range(4)]
NM = (10.0, 10.0, 20.0)


@dataclass(frozen=True)
class Box:
    """A graph a--b c d with merges b--c at 1 s, c--d at 2 s, and the split b--c at 3 s."""

    client: FlaskClient
    name: str
    roots: dict[int, list[int]]  # second -> root of each supervoxel
    url: str

    @property
    def path(self) -> str:
        return f"/segmentation/api/v1/table/{self.name}"

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """JSON without a content type, as clients send it."""
        data = None if body is None else json.dumps(body)
        answer = self.client.open(
            f"/segmentation/api/v1/table/{self.name}/{path}",
            method=method,
            data=data,
            query_string=query,
        )
        assert answer.status_code == 200, answer.data
        return answer.json


@contextmanager
def served_box(name: str, folder: Path) -> Iterator[Box]:
    """The box in an aligned volume, its volume of supervoxels in a folder."""
    voxels = np.zeros((32, 8, 8), np.uint64)
    for x, supervoxel in enumerate(SV):
        voxels[8 * x + 1 : 8 * x + 8, 1:, 1:] = supervoxel
    write_raw_volume(folder, voxels, chunk=(8, 8, 8), resolution_nm=NM)
    edges = pa.table({"supervoxel_a": SV[:1], "supervoxel_b": SV[1:2]})
    with connections.connect(name) as conn:
        segmentation = datastacks.Segmentation(name, str(folder), list(NM), [8, 8, 8])
        datastacks.create(conn, f"stack_{name}", segmentation)
        local.create(conn, name, start=START, chunk_size=(8, 8, 8))
        local.load_edges(conn, name, edges, supervoxels=SV)
        local.merge(conn, name, [(SV[1], SV[2])], at=START + SECOND)
        local.merge(conn, name, [(SV[2], SV[3])], at=START + 2 * SECOND)
        local.split(conn, name, [(SV[1], SV[2])], at=START + 3 * SECOND)
        graph = local.LocalGraph(conn, name)
        roots = {s: graph.roots(SV, START + s * SECOND).tolist() for s in range(4)}
    yield Box(create_app().test_client(), name, roots, connections.database_url(name))
    pools.close_all()


def seconds(time: datetime) -> str:
    return f"{to_ms(time) // 1000}.{to_ms(time) % 1000:03d}"
