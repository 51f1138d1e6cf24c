"""A long answer over HTTP: how fast it comes, and what the server's memory does meanwhile."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import requests
from psycopg import sql

from bench.figure import Figure
from bench.place import Place
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
        with _serving() as (url, worker):
            return [
                *_ask(url, worker, "Arrow, zstd", {"Accept-Encoding": "zstd"}),
                *_ask(url, worker, "Arrow", {"Accept-Encoding": "identity"}),
                *_ask(url, worker, "JSON", {}, "?return_pyarrow=false", rows // 10),
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


@contextmanager
def _serving() -> Iterator[tuple[str, int]]:
    """The server's address, and the process that answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        words = ["matengine.api.app:create_app()", "--bind", f"fd://{listening.fileno()}"]
        words += ["--worker-class", "gthread", "--threads", "4", "--no-control-socket"]
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *words, "--log-level", "warning"],
            pass_fds=[listening.fileno()],
            env=os.environ,
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            requests.get(f"{url}/health/live", timeout=60)
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
            yield url, int(children.split()[0])
        finally:
            server.terminate()
            server.wait(30)


def _ask(
    url: str, worker: int, what: str, headers: dict[str, str], options: str = "", limit: int = 0
) -> list[Figure]:
    requests.post(f"{url}{URL}?count=true", timeout=600)
    before = _memory(worker, "VmRSS")
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # begins VmHWM anew, proc(5)
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
    grown = (_memory(worker, "VmHWM") - before) / 1e6
    return [
        Figure(f"{what}: first byte", first, None, "s", rows, "wall"),
        Figure(f"{what}: all", wall, None, "s", rows, f"wall, {size / 1e6:,.0f} MB"),
        Figure(f"{what}: memory of the server", grown, None, "MB", rows, "above what it held"),
    ]


def _memory(pid: int, what: str) -> int:
    """A line of a process's status, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
