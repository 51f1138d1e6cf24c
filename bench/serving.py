"""Answers over HTTP: CPU of all processes, latency, many clients at once, memory."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Engine

from bench import standins, synapses
from bench.clients import Answer, ask, crowd
from bench.figure import Figure
from bench.place import Place, Server
from bench.tree import Tree
from matengine import settings
from matengine.box import programs
from matengine.box.endpoint import LOOPBACK, free_port
from matengine.engine.versions import layout
from matengine.storage import connections
from matengine.storage.connections import Connection

VERSION = 2
VIEW = f"{synapses.NAME}__mat{VERSION}", synapses.TABLE
ROOT = "post_pt_root_id"
ONE, HUNDRED, PAGE = 1_000, 280, 500_000
CLIENTS = 32
LOOK_S = 0.01
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """What is asked, over HTTP and in SQL after the FROM, how often, and its name in figures."""

    name: str
    body: bytes
    rest: str
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
    synapses.bring(conn, folder)
    synapses.materialize(conn)
    synapses.proofread(conn, folder)
    synapses.materialize(conn)
    # as some hours later: what was written is on disk, and statistics are up to date
    conn.commit()
    conn.autocommit = True
    conn.execute("VACUUM ANALYZE")
    conn.execute("CHECKPOINT")


def measure(server: Server, rows: int) -> list[Figure]:
    """The figures of a server whose database is there; the stand-in asks the same in turn."""
    with connections.connect(synapses.NAME) as conn:
        questions = _questions(conn)
        copied = _copied(conn)
    engine = standins.pandas_engine(connections.database_url(synapses.NAME))
    found = []
    with serving() as (address, web):
        for question in questions:
            if question is questions[-1]:
                asyncio.run(crowd(address, PATH, questions[0].body, CLIENTS, 10))  # all, warm
                found.append(asyncio.run(_memory(Tree([web]), address, question, rows)))
            classic = _classic(server, engine, copied, question)
            found += _cost(Tree([web, server.pid]), address, question, rows, classic)
        found += _crowd(address, questions[0], rows)
    engine.dispose()
    return found


def _copied(conn: Connection) -> str:
    """A query of the version's rows with all columns of the answer; the WHERE is to follow."""
    table = layout.layout_of(conn, synapses.TABLE, synapses.NAME)
    columns = ["id", "created", "true AS valid"]
    for column in table.columns:
        if column.name in table.positions or column.name == "ctr_pt_position":
            columns += [
                f"ST_{axis.upper()}({column.name}) AS {column.name}_{axis}" for axis in "xyz"
            ]
        else:
            columns.append(column.name)
    return f"SELECT {', '.join(columns)} FROM {'.'.join(VIEW)}"  # noqa: S608 names of ours


def _classic(server: Server, engine: Engine, copied: str, question: Question) -> float:
    """CPU ms of the classic way, without HTTP: of this process and of PostgreSQL."""
    repeats = max(2, question.repeats // 10)
    query = f"{copied} {question.rest}"
    standins.pandas_answer(engine, query)
    tree = Tree([server.pid])
    mine, theirs = time.process_time(), tree.cpu_s()
    for _ in range(repeats):
        standins.pandas_answer(engine, query)
    return 1000 * (time.process_time() - mine + tree.cpu_s() - theirs) / repeats


def _questions(conn: Connection) -> list[Question]:
    """One root of 1,000 rows, 100 of 280, and half of a million rows whatever they are."""
    counted = conn.execute(
        sql.SQL("SELECT {root}, count(*) FROM {view} WHERE {root} <> 0 GROUP BY 1").format(
            root=sql.Identifier(ROOT), view=sql.Identifier(*VIEW)
        )
    ).fetchall()
    roots, sizes = np.array(counted, np.int64).T
    nearest = [roots[np.argsort(abs(sizes - n), kind="stable")] for n in (ONE, HUNDRED)]
    return [
        _of_roots("one root", nearest[0][:1], 200),
        _of_roots("100 roots", nearest[1][:100], 40),
        Question("500,000 rows", _body(limit=PAGE), f"ORDER BY id LIMIT {PAGE}", 5),
    ]


def _of_roots(name: str, roots: Ids, repeats: int) -> Question:
    listed = ",".join(map(str, roots.tolist()))
    return Question(
        name,
        _body(filter_in_dict={synapses.TABLE: {ROOT: roots.tolist()}}),
        f"WHERE {ROOT} IN ({listed}) ORDER BY id",
        repeats,
    )


def _body(**content: object) -> bytes:
    return json.dumps(content).encode()


@contextmanager
def serving() -> Iterator[tuple[tuple[str, int], int]]:
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


def _cost(
    tree: Tree, address: tuple[str, int], question: Question, rows: int, classic: float
) -> Iterator[Figure]:
    """CPU and latency of one client that asks again and again."""
    # every process, warm
    *_, answer = asyncio.run(crowd(address, PATH, question.body, 4, max(1, question.repeats // 20)))
    before = tree.cpu_s()
    answers = asyncio.run(crowd(address, PATH, question.body, 1, question.repeats))
    cpu_ms = 1000 * (tree.cpu_s() - before) / question.repeats
    note = f"{answer.size:,} bytes" + (f", {answer.rows:,} rows" if answer.rows >= 0 else "")
    yield Figure(f"{question.name}: CPU", cpu_ms, classic, "ms", rows, note)
    p50 = 1000 * statistics.median(a.seconds for a in answers)
    yield Figure(f"{question.name}: p50", p50, None, "ms", rows)


async def _memory(tree: Tree, address: tuple[str, int], question: Question, rows: int) -> Figure:
    """Of all processes of the server, looked at again and again while they answer."""
    idle = most = tree.shared_memory()
    asked = asyncio.create_task(ask(address, PATH, question.body))
    while not asked.done():
        most = max(most, tree.shared_memory())
        await asyncio.sleep(LOOK_S)
    assert asked.result().good
    name = f"{question.name}: memory above idle"
    note = f"idle: {idle / 2**20:.0f} MiB in {len(tree.pids())} processes, what they share once"
    return Figure(name, (most - idle) / 2**20, None, "MiB", rows, note)


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
