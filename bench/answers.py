"""A long answer over HTTP: how fast it comes, and what the server's memory does meanwhile."""

import json
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import requests
from psycopg import sql

from bench.figure import Figure
from bench.place import Place
from bench.serving import serving
from bench.tree import Tree
from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.runs import engine
from matengine.engine.versions import epoch, layout
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

NAME = "answers"
TABLE = "synapses"
URL = f"/materialize/api/v3/datastack/{NAME}/version/1/table/{TABLE}/query"
_ROWS = """
INSERT INTO {history} (id, created, from_epoch, pre_pt_position, post_pt_position,
  ctr_pt_position, size, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_supervoxel_id,
  post_pt_root_id)
SELECT i, now(), 1, p, p, p, i % 1000, 72057594037927936 + i, 864691128455135232 + i / 100,
  72057594037927936 + i * 7, 864691128455135232 + i / 70
FROM generate_series(1, {rows}) AS i, ST_MakePoint(i % 9973, i % 7919, i % 1009) AS p
"""
_CHUNK = 1 << 16
_KEY = b'"id":'


def run(place: Place) -> list[Figure]:
    """Ask for a whole version of a table as Arrow, and for a tenth of it as JSON."""
    rows = place.rows
    with place.server():
        connections.create_aligned_volume(NAME)
        place.progress(0, 2, "making the version")
        with connections.connect(NAME) as conn:
            _make(conn, rows)
        place.progress(1, 2, "asking")
        with serving() as ((host, port), web):
            url, tree = f"http://{host}:{port}", Tree([web])
            return [
                *_ask(url, tree, "Arrow, zstd", {"Accept-Encoding": "zstd"}),
                *_ask(url, tree, "Arrow", {"Accept-Encoding": "identity"}),
                *_ask(url, tree, "JSON", {}, "?return_pyarrow=false", rows // 10),
            ]


def _make(conn: Connection, rows: int) -> None:
    """A version whose rows are put where an epoch would have put them."""
    local.create(conn, NAME, start=datetime(2026, 1, 1, tzinfo=UTC))
    local.load_assignment(conn, NAME, np.array([1 << 56], np.int64), np.array([1], np.int64))
    datastacks.create(conn, NAME, datastacks.Segmentation(NAME))
    tables.create_table(conn, TABLE, "synapse", voxel_resolution_nm=(4, 4, 40), description="")
    conn.commit()
    engine.drive(conninfo_of(conn), epoch.start(conn, NAME, "complete", publish_version=True))
    history = layout.layout_of(conn, TABLE, NAME).history
    for switch in ("DISABLE", "ENABLE"):
        if switch == "ENABLE":
            conn.execute(sql.SQL(_ROWS).format(history=history, rows=sql.Literal(rows)))
        conn.execute(sql.SQL("ALTER TABLE {} {} TRIGGER USER").format(history, sql.SQL(switch)))
    conn.commit()


def _ask(
    url: str, server: Tree, what: str, headers: dict[str, str], options: str = "", limit: int = 0
) -> list[Figure]:
    requests.post(f"{url}{URL}?count=true", timeout=600)
    before = server.memory()
    server.reset_peaks()
    body = json.dumps({"limit": limit} if limit else {})
    start = time.perf_counter()
    rows = size = 0
    tail = b""
    with requests.post(
        url + URL + options, body, headers=headers, stream=True, timeout=600
    ) as answer:
        first = time.perf_counter() - start
        if options:
            for chunk in answer.iter_content(_CHUNK):
                size += len(chunk)
                rows += (tail + chunk).count(_KEY)
                tail = chunk[1 - len(_KEY) :]
        else:
            for batch in pa.ipc.open_stream(answer.raw):
                rows, size = rows + batch.num_rows, size + batch.nbytes
    wall = time.perf_counter() - start
    grown = (server.peak() - before) / 1e6
    return [
        Figure(f"{what}: first byte", first, None, "s", rows, "wall"),
        Figure(f"{what}: all", wall, None, "s", rows, f"wall, {size / 1e6:,.0f} MB"),
        Figure(f"{what}: memory of the server", grown, None, "MB", rows, "above what it held"),
    ]
