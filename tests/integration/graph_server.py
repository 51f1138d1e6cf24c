"""A chunkedgraph server made of the oracle in memory, with PyChunkedGraph's own time rules.

What differs from the half-open rule, each as its sources do it: is_latest counts what happened
before a time; delta_roots takes both ends in, goes by the time of writing and repeats roots;
lineages stop at what was made before the past, so they go one step further; unknown roots are an
error 500; ids without a parent come back as they are where all of a request lack one.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations, pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from matengine.errors import NotFound
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph, Lineage
from matengine.testing.graph import MemoryGraph
from matengine.times import from_ms, to_ms

MS = timedelta(milliseconds=1)


class PyChunkedGraph:
    """Answers requests about one graph; `written` is how long after its time an edit is logged."""

    def __init__(self, graph: MemoryGraph, written: timedelta = timedelta(0)) -> None:
        self.graph = graph
        self.written = written

    def answer(self, path: str, query: dict[str, str], body: bytes) -> bytes:
        """The body of the answer; NotFound and KeyError become an error 500."""
        name = path.rpartition("/table/seg/")[2].replace("/", "_")
        if name.startswith("node_"):
            return json.dumps({"leaf_ids": self._leaves(int(name.split("_")[1]))}).encode()
        if name == "roots_binary":
            return self.roots_binary(query, body)
        ask = getattr(self, name)
        return json.dumps(ask(query, json.loads(body or b"{}"))).encode()

    def roots_binary(self, query: dict[str, str], body: bytes) -> bytes:
        ids = np.frombuffer(body, np.uint64)
        roots = self.graph.roots(ids.astype(np.int64), time(query["timestamp"]))
        if not roots.any():
            return body
        layer = ids >> np.uint64(56)
        return np.where(layer == 5, ids, roots.astype(np.uint64)).tobytes()

    def is_latest_roots(self, query: dict[str, str], body: Any) -> Any:
        at = time(query["timestamp"]) - MS
        return {"is_latest": self.graph.is_latest(body["node_ids"], at).tolist()}

    def root_timestamps(self, query: dict[str, str], body: Any) -> Any:
        return {"timestamp": [ms / 1000 for ms in self.graph.root_timestamps(body["node_ids"])]}

    def valid_nodes(self, query: dict[str, str], body: Any) -> Any:
        return {"valid_roots": [root for root in body["node_ids"] if root in self.graph.lives]}

    def delta_roots(self, query: dict[str, str], body: Any) -> Any:
        past, future = time(query["timestamp_past"]), time(query["timestamp_future"])
        old, new = [], []
        for done in self.graph.operations.values():
            if past <= done.at + self.written <= future:
                for root in done.new_roots.tolist():
                    new.append(root)
                    old += sorted(self.graph.lives[root].formers)
        return {"old_roots": old, "new_roots": new}

    def lineage_graph_multiple(self, query: dict[str, str], body: Any) -> Any:
        past, future = query.get("timestamp_past"), query.get("timestamp_future")
        found = self.graph.lineage(
            body["root_ids"],
            time(past) - MS if past else None,
            time(future) if future else None,
        )
        nodes = [
            {"id": root, "timestamp": node.created_ms / 1000}
            | ({"operation_id": node.operation_id} if node.operation_id else {})
            for root, node in found.nodes.items()
        ]
        return {"nodes": nodes, "links": [{"source": a, "target": b} for a, b in found.links]}

    def oldest_timestamp(self, query: dict[str, str], body: Any) -> Any:
        return {"iso": str(self.graph.oldest_timestamp())}

    def _leaves(self, root: int) -> list[int]:
        return [int(leaf) for leaf in self.graph.leaves(root)]


def time(seconds: str) -> datetime:
    """Seconds as the server reads them: through a double, then cut to the millisecond."""
    microseconds = round(Decimal(float(seconds)) * 1_000_000)
    return from_ms(microseconds // 1000)


@contextmanager
def serving(graph: PyChunkedGraph) -> Iterator[str]:
    """The address of a server of this graph."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet

        def log_message(self, format: str, *args: Any) -> None: ...

        def do_POST(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                status, content = 200, graph.answer(address.path, query, body)
            except (NotFound, KeyError) as error:
                status, content = 500, json.dumps({"message": repr(error)}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

    with served(Handler) as url:
        yield url


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a threaded HTTP server on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def moments(graph: MemoryGraph) -> list[datetime]:
    """Exactly at each operation, one millisecond to each side, and around the beginning."""
    times = [graph.start_ms, *(to_ms(done.at) for done in graph.operations.values())]
    return [from_ms(ms + tick) for ms in times for tick in (-1, 0, 1)]


def random_edits(
    rng: np.random.Generator, supervoxels: list[int], count: int
) -> list[tuple[str, list[tuple[int, int]], int]]:
    """Merges and splits (kind, edges, milliseconds since the one before), some next to another."""
    edits = []
    known: list[tuple[int, int]] = []
    for _ in range(count):
        gap = int(rng.choice([1, 2, 3, 1000]))
        if known and rng.random() < 0.4:
            edges = [known.pop(int(rng.integers(len(known))))]
            edits.append(("split", edges, gap))
            continue
        a, b = sorted(int(s) for s in rng.choice(supervoxels, 2, replace=False))
        known.append((a, b))
        edits.append(("merge", [(a, b)], gap))
    return edits


def assert_same(
    found: ChunkedGraph,
    expected: ChunkedGraph,
    supervoxels: list[int],
    roots: list[int],
    times: list[datetime],
) -> None:
    """Every method answers as another graph does, at all times and between all pairs of them."""
    unknown = [0, supervoxels[-1] + 12345]
    asked = [*supervoxels, *unknown, *supervoxels[:3]]
    assert found.root_timestamps(roots).tolist() == expected.root_timestamps(roots).tolist()
    assert _plain(found.lineage(roots)) == _plain(expected.lineage(roots))
    for root in roots:
        assert found.leaves(root).tolist() == expected.leaves(root).tolist()
    for at in times:
        got = found.roots(asked, at)
        assert got.dtype == np.int64
        assert got.tolist() == expected.roots(asked, at).tolist()
        latest = found.is_latest([*roots, *unknown], at)
        assert latest.tolist() == expected.is_latest([*roots, *unknown], at).tolist()
        assert found.latest_ids(roots, at) == expected.latest_ids(roots, at)
        assert found.past_ids(roots, at, times[-1]) == expected.past_ids(roots, at, times[-1])
    for past, future in combinations(times, 2):
        got_delta, right = found.delta_roots(past, future), expected.delta_roots(past, future)
        assert got_delta.old_roots.tolist() == right.old_roots.tolist()
        assert got_delta.new_roots.tolist() == right.new_roots.tolist()
    for past, future in [(times[0], times[-1]), *pairwise(times)]:
        some = roots[:: len(roots) // 3]
        lineage = expected.lineage(some, past, future)
        assert _plain(found.lineage(some, past, future)) == _plain(lineage)


def _plain(lineage: Lineage) -> tuple[Any, Any]:
    return dict(sorted(lineage.nodes.items())), sorted(lineage.links)
