"""The chunkedgraph over HTTP: our own server, PyChunkedGraph's rules, and bad networks."""

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import requests
from graph_server import PyChunkedGraph, assert_same, moments, random_edits, served, serving

from matengine.errors import Conflict, Invalid, NotFound, Unavailable
from matengine.segmentation.chunkedgraph import client, http, local
from matengine.segmentation.chunkedgraph.client import HttpGraph
from matengine.segmentation.chunkedgraph.http import Requester
from matengine.storage import connections
from matengine.testing.graph import MemoryGraph
from matengine.times import from_ms, to_ms

START = datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
FIRST = 1 << 56
SUPERVOXELS = [FIRST + (n % 3 << 46) + n for n in range(1, 15)]
EDGES = [(SUPERVOXELS[i], SUPERVOXELS[i + 1]) for i in (0, 1, 4, 7)]


def history(seed: int) -> MemoryGraph:
    """The oracle after random merges and splits."""
    graph = MemoryGraph(START, EDGES, SUPERVOXELS)
    at = START
    for kind, edges, gap in random_edits(np.random.default_rng(seed), SUPERVOXELS, 14):
        at += timedelta(milliseconds=gap)
        edit = graph.merge if kind == "merge" else graph.split
        edit(edges, at=at, strict=False)
    return graph


# ── against PyChunkedGraph's rules ───────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("written_ms", [0, 7])
def test_rules_of_pychunkedgraph(
    seed: int, written_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.001)
    memory = history(seed)
    written = timedelta(milliseconds=written_ms)
    with serving(PyChunkedGraph(memory, written)) as url:
        graph = HttpGraph(url, "seg", settle=written)
        assert_same(graph, memory, SUPERVOXELS, sorted(memory.lives), moments(memory)[::2])
        assert graph.oldest_timestamp() == START
        for ask in (
            lambda: graph.root_timestamps([min(memory.lives), 5]),
            lambda: graph.lineage([5]),
            lambda: graph.past_ids([5], START, START),
            lambda: graph.latest_ids([5], START),
            lambda: graph.leaves(5),
        ):
            with pytest.raises(NotFound, match="no root 5"):
                ask()


def test_roots_where_none_is_known_come_back_as_zero() -> None:
    memory = history(0)
    with serving(PyChunkedGraph(memory)) as url:
        graph = HttpGraph(url, "seg")
        before = START - timedelta(milliseconds=1)
        assert graph.roots(SUPERVOXELS, before).tolist() == [0] * len(SUPERVOXELS)
        assert graph.roots([min(memory.lives)], START).tolist() == [0]


# ── against our own server ───────────────────────────────────────────────────


@dataclass(frozen=True)
class Served:
    """A random graph in a real database behind a real gunicorn."""

    url: str
    name: str
    volume_url: str


@pytest.fixture(scope="module")
def server(server_url: str) -> Iterator[Served]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    connections.create_aligned_volume(name, url=server_url)
    url = connections.database_url(name, server_url)
    with connections.open_connection(url) as conn:
        conn.execute("INSERT INTO matengine.segmentation (name) VALUES (%s)", (name,))
        local.create(conn, name, start=START)
        columns = {"supervoxel_a": [a for a, _ in EDGES], "supervoxel_b": [b for _, b in EDGES]}
        local.load_edges(conn, name, pa.table(columns), supervoxels=SUPERVOXELS)
        at = START
        for kind, edges, gap in random_edits(np.random.default_rng(5), SUPERVOXELS, 14):
            at += timedelta(milliseconds=gap)
            edit = local.merge if kind == "merge" else local.split
            edit(conn, name, edges, at=at, strict=False)
    with ExitStack() as stack:
        stack.callback(connections.drop_aligned_volume, name, server_url)
        yield Served(stack.enter_context(Gunicorn(server_url)), name, url)


class Gunicorn:
    """The application in a process of its own; entered, it gives the address."""

    def __init__(self, database_url: str) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        number = self._socket.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "matengine.api.app:create_app()",
             "--bind", f"fd://{number}", "--worker-class", "gthread", "--threads", "4",
             "--log-level", "warning", "--no-control-socket"],
            pass_fds=[number],
            env=os.environ | {"MATENGINE_DATABASE_URL": database_url},
        )  # fmt: skip

    def __enter__(self) -> str:
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        # the socket listens already, so this waits until a worker answers
        assert requests.get(f"{url}/health/live", timeout=60).status_code == 200
        return url

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._socket.close()


def test_every_method_equals_the_embedded_graph(server: Served) -> None:
    with connections.open_connection(server.volume_url) as conn:
        embedded = local.LocalGraph(conn, server.name)
        changed = embedded.delta_roots(START - timedelta(1), START + timedelta(1))
        first = embedded.roots(SUPERVOXELS, START)
        roots = sorted({*changed.old_roots.tolist(), *changed.new_roots.tolist(), *first.tolist()})
        times = [to_ms(START), *embedded.root_timestamps(changed.new_roots).tolist()]
        ticks = sorted({ms + tick for ms in times for tick in (-1, 0, 1)})
        graph = HttpGraph(server.url, server.name, settle=timedelta(0))
        assert_same(graph, embedded, SUPERVOXELS, roots, [from_ms(ms) for ms in ticks[::2]])
        assert graph.oldest_timestamp() == START
        # whole milliseconds hold inside a millisecond, too
        inside = from_ms(times[-1]) + timedelta(microseconds=999)
        assert graph.roots(SUPERVOXELS, inside).tolist() == (
            embedded.roots(SUPERVOXELS, inside).tolist()
        )


def test_batches_are_few_and_in_order(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BINARY_IDS", 4)
    with connections.open_connection(server.volume_url) as conn:
        embedded = local.LocalGraph(conn, server.name)
        at = START + timedelta(seconds=2)
        many = np.random.default_rng(1).choice([*SUPERVOXELS, 0], 5000)
        graph = HttpGraph(server.url, server.name)
        assert graph.roots(many, at).tolist() == embedded.roots(many, at).tolist()
        # each of the 14 supervoxels once, four a request
        assert graph.requests == 4


def test_unknown_graph_and_refusals(server: Served) -> None:
    graph = HttpGraph(server.url, f"{server.name}x")
    with pytest.raises(NotFound, match="no chunkedgraph"):
        graph.roots(SUPERVOXELS, START)
    assert graph.requests == 1


# ── bad networks ─────────────────────────────────────────────────────────────

Fault = Callable[[BaseHTTPRequestHandler], None]


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def status(code: int, **headers: str) -> Fault:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = b'{"message": "not now"}'
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    """Promise more bytes than come."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"\0" * 8)
    handler.close_connection = True


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.5)
    drop(handler)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """Never silent for long, and never done."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"\0" * 8)
        handler.wfile.flush()
        time.sleep(0.05)


@dataclass(frozen=True)
class Flaky:
    """A proxy before the server, with a fault for each request while there are some."""

    url: str
    faults: list[Fault]
    tokens: list[str]
    left: threading.Event  # the client went before the answer's end


@pytest.fixture
def flaky(server: Served) -> Iterator[Flaky]:
    found = Flaky("", [], [], threading.Event())

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def log_message(self, format: str, *args: Any) -> None: ...

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.tokens.append(self.headers.get("Authorization", ""))
            if found.faults:
                try:
                    found.faults.pop(0)(self)
                except OSError:
                    self.close_connection = True
                    found.left.set()
                return
            answer = requests.request(self.command, server.url + self.path, data=body, timeout=30)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST

    with served(Proxy) as url:
        yield replace(found, url=url)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.001)


@pytest.mark.usefixtures("_quick")
def test_faults_are_tried_again(server: Served, flaky: Flaky) -> None:
    right = HttpGraph(server.url, server.name).roots(SUPERVOXELS, START)
    graph = HttpGraph(flaky.url, server.name, token="secret", timeout_s=0.2)
    for several in (
        [drop, status(503), cut_off, status(500), drop],
        [silent, status(429, Retry_After="0"), status(502)],
    ):
        flaky.faults[:] = several
        before = graph.requests
        assert graph.roots(SUPERVOXELS, START).tolist() == right.tolist()
        assert graph.requests == before + len(several) + 1
    assert set(flaky.tokens) == {"Bearer secret"}


@pytest.mark.usefixtures("_quick")
def test_attempts_are_bounded(flaky: Flaky, server: Served) -> None:
    flaky.faults[:] = [status(503)] * 50
    graph = HttpGraph(flaky.url, server.name)
    with pytest.raises(Unavailable, match="answers 503: not now"):
        graph.roots(SUPERVOXELS, START)
    assert graph.requests == http.ATTEMPTS


@pytest.mark.usefixtures("_quick")
def test_deadline_ends_silence(flaky: Flaky, server: Served) -> None:
    flaky.faults[:] = [silent] * 50
    graph = HttpGraph(flaky.url, server.name, deadline_s=0.3)
    with pytest.raises(Unavailable, match="does not answer"):
        graph.roots(SUPERVOXELS, START)
    assert graph.requests <= 2


@pytest.mark.usefixtures("_quick")
def test_deadline_ends_an_answer_that_trickles(flaky: Flaky, server: Served) -> None:
    flaky.faults[:] = [trickle] * 50
    graph = HttpGraph(flaky.url, server.name, deadline_s=0.3)
    with pytest.raises(Unavailable, match="does not answer"):
        graph.roots(SUPERVOXELS, START)
    assert graph.requests == 1
    assert flaky.left.wait(5)


def test_long_waits_are_not_begun(flaky: Flaky, server: Served) -> None:
    flaky.faults[:] = [status(429, Retry_After="9")] * 50
    graph = HttpGraph(flaky.url, server.name, deadline_s=5)
    with pytest.raises(Unavailable, match="answers 429"):
        graph.roots(SUPERVOXELS, START)
    assert graph.requests == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [(400, Invalid), (401, Invalid), (302, Invalid), (404, NotFound), (409, Conflict)],
)
def test_refusals_are_final(code: int, kind: type[Exception], flaky: Flaky, server: Served) -> None:
    flaky.faults[:] = [status(code, Location="/elsewhere")]
    graph = HttpGraph(flaky.url, server.name)
    with pytest.raises(kind, match=f"{code}: (not now|no message)"):
        graph.delta_roots(START, START + timedelta(seconds=1))
    assert graph.requests == 1


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.001)
    graph = HttpGraph("http://127.0.0.1:9", "seg")
    with pytest.raises(Unavailable, match="does not answer"):
        graph.leaves(1)


def test_first_error_ends_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask(item: int) -> int:
        asked.append(item)
        time.sleep(0.01)
        raise Invalid("no")

    with pytest.raises(Invalid):
        http.in_parallel(ask, range(1000))
    assert len(asked) <= 4 * http.PARALLEL


def test_times_are_exact() -> None:
    for ms in (0, 1, 999, 1_700_000_000_123, -1, -1_500, 253_402_300_799_999):
        text = http.seconds(from_ms(ms))
        assert to_ms(from_ms(0)) + round(float(text) * 1000) == ms
        whole, _, part = text.partition(".")
        assert len(part) == 3
        assert "e" not in text.lower()
        assert whole.lstrip("-").isdigit()
    assert Requester("http://host/", token=None, timeout_s=1, deadline_s=1, session=None).address
