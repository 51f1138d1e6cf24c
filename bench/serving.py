"""Answers over HTTP: CPU of all processes, latency, many clients at once, memory."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench import synapses
from bench.clients import Answer, ask, crowd
from bench.figure import Figure
from bench.place import Place, Server
from bench.processes import Tree
from matengine import settings
from matengine.box import programs
from matengine.box.endpoint import LOOPBACK, free_port
from matengine.storage import connections
from matengine.storage.connections import Connection

VERSION = 2
ROOT = "post_pt_root_id"
ONE, HUNDRED, PAGE = 1_000, 280, 500_000
CLIENTS = 32


@dataclass(frozen=True)
class Question:
    """What is asked, how often, and how it is called in the figures."""

    name: str
    body: bytes
    repeats: int


def run(place: Place) -> list[Figure]:
    """A version after a batch of proofreading, asked as a box serves it."""
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:
            _make(conn, place)
        return measure(server, place.rows)


def _make(conn: Connection, place: Place) -> None:
    folder = synapses.made(place.cache, place.rows)
    rows = pq.read_table(folder / "synapses.parquet")
    synapses.create(conn, folder)
    synapses.load(conn, rows)
    synapses.give_supervoxels(conn, rows)
    synapses.materialize(conn)
    synapses.proofread(conn, folder)
    synapses.materialize(conn)
    # as some hours later: what was written is on disk, and statistics are up to date
    conn.autocommit = True
    conn.execute("VACUUM ANALYZE")
    conn.execute("CHECKPOINT")


def measure(server: Server, rows: int) -> list[Figure]:
    """The figures of a server whose database is there."""
    with connections.connect(synapses.NAME) as conn:
        questions = _questions(conn)
    found = []
    with _serving() as (address, web):
        tree = Tree([web, server.pid])
        for question in questions:
            found += _cost(tree, address, question, rows)
        found += _memory(web, address, questions[-1], rows)
        found += _crowd(address, questions[0], rows)
    return found


def _questions(conn: Connection) -> list[Question]:
    """One root of 1,000 rows, 100 of 280, and half of a million rows whatever they are."""
    counted = conn.execute(
        f"SELECT {ROOT}, count(*) FROM {synapses.NAME}__mat{VERSION}.{synapses.TABLE}"
        f" WHERE {ROOT} <> 0 GROUP BY 1"
    ).fetchall()
    roots, sizes = np.array(counted, np.int64).T
    nearest = [roots[np.argsort(abs(sizes - n), kind="stable")] for n in (ONE, HUNDRED)]
    return [
        Question("one root", _body(filter_in_dict=_among(nearest[0][:1])), 200),
        Question("100 roots", _body(filter_in_dict=_among(nearest[1][:100])), 40),
        Question("500,000 rows", _body(limit=PAGE), 5),
    ]


def _among(roots: Sequence[int]) -> dict[str, object]:
    return {synapses.TABLE: {ROOT: [int(root) for root in roots]}}


def _body(**content: object) -> bytes:
    return json.dumps(content).encode()


@contextmanager
def _serving() -> Iterator[tuple[tuple[str, int], int]]:
    """Address and process id of gunicorn, started as a box starts it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        web = programs.Server(Path(folder), Path(folder) / "log", settings.load, LOOPBACK, port)
        web.start()
        try:
            assert web.process is not None
            yield (LOOPBACK, port), web.process.pid
        finally:
            web.stop()


PATH = (
    f"/materialize/api/v3/datastack/{synapses.NAME}/version/{VERSION}"
    f"/table/{synapses.TABLE}/query?return_pyarrow=true&arrow_format=true"
)


def _cost(tree: Tree, address: tuple[str, int], question: Question, rows: int) -> Iterator[Figure]:
    """CPU and latency of one client that asks again and again."""
    for _ in range(max(2, question.repeats // 10)):  # every worker, warm
        answer = asyncio.run(ask(address, PATH, question.body))
    before = tree.cpu_s()
    answers = asyncio.run(crowd(address, PATH, question.body, 1, question.repeats))
    cpu_ms = 1000 * (tree.cpu_s() - before) / question.repeats
    note = f"{answer.rows:,} rows, {answer.size:,} bytes"
    yield Figure(f"{question.name}: CPU", cpu_ms, None, "ms", rows, note)
    p50 = 1000 * statistics.median(a.seconds for a in answers)
    yield Figure(f"{question.name}: p50", p50, None, "ms", rows)


def _memory(web: int, address: tuple[str, int], question: Question, rows: int) -> Iterator[Figure]:
    tree = Tree([web])
    idle = tree.memory()
    tree.reset_peaks()
    asyncio.run(ask(address, PATH, question.body))
    grown = (tree.peak() - idle) / 2**20
    yield Figure(
        f"{question.name}: memory above idle", grown, None, "MiB", rows,
        f"idle: {idle / 2**20:.0f} MiB, all processes of the server",
    )  # fmt: skip


def _crowd(address: tuple[str, int], question: Question, rows: int) -> Iterator[Figure]:
    """Many clients at once; they run on the same cores."""
    asyncio.run(crowd(address, PATH, question.body, CLIENTS, 10))
    start = time.perf_counter()
    answers: list[Answer] = asyncio.run(crowd(address, PATH, question.body, CLIENTS, 50))
    wall = time.perf_counter() - start
    times = [1000 * answer.seconds for answer in answers]
    p50, p99 = np.percentile(times, [50, 99])
    name = f"{question.name}, {CLIENTS} clients"
    note = f"{sum(not a.good for a in answers)} errors"
    yield Figure(f"{name}: requests", len(answers) / wall, None, "1/s", rows, note)
    yield Figure(f"{name}: p50", p50, None, "ms", rows)
    yield Figure(f"{name}: p99", p99, None, "ms", rows)
