"""Level-2 nodes of the embedded chunkedgraph, against flood fills after every edit."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from graph_server import random_edits

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.ids import chunk_of, layer_of
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.times import from_ms

START = datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
MS = timedelta(milliseconds=1)
# 16 supervoxels in two chunks, so that most edges lie inside a chunk
SV = [(1 << 56) + (n % 2 << 46) + 1 + n for n in range(16)]
EDGES = [(SV[i], SV[i + 2]) for i in (0, 1, 2, 5, 8)] + [(SV[0], SV[3])]
UNKNOWN = [0, 5, (2 << 56) + 999, (2 << 56) + (1 << 25) + 4444, (3 << 56) + 1]

Part = tuple[frozenset[int], int]  # its supervoxels, and the number of the edit that made it


@dataclass
class Oracle:
    """Which parts there are after each edit; edit 0 is the beginning."""

    edges: set[tuple[int, int]]
    now: set[Part] = field(default_factory=set)
    after: list[tuple[datetime, set[Part]]] = field(default_factory=list)

    def step(self, at: datetime, touched: set[int]) -> None:
        number = len(self.after)
        stay = {part for part in self.now if not part[0] & touched} if number else set()
        kept = {s for part, _ in stay for s in part}
        self.now = stay | {(part, number) for part in self._flood(set(SV) - kept)}
        self.after.append((at, self.now))

    def _flood(self, waiting: set[int]) -> Iterator[frozenset[int]]:
        inner = [(a, b) for a, b in self.edges if a >> 46 == b >> 46]
        while waiting:
            part = {waiting.pop()}
            while more := {e for a, b in inner if (a in part) != (b in part) for e in (a, b)}:
                part |= more
            waiting -= part
            yield frozenset(part)


@pytest.fixture
def told(conn: Any) -> tuple[LocalGraph, Oracle]:
    """A graph after random edits, and what the oracle says of it."""
    columns = zip(*EDGES, strict=True)
    table = pa.table(dict(zip(("supervoxel_a", "supervoxel_b"), columns, strict=True)))
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", table, SV)
    graph, oracle, at = LocalGraph(conn, "seg"), Oracle(set(EDGES)), START
    oracle.step(START, set())
    history: list[dict[str, Any]] = []
    for kind, edges, gap in random_edits(np.random.default_rng(3), SV, 60):
        at += timedelta(milliseconds=gap)
        change = {edge for edge in edges if (edge in oracle.edges) != (kind == "merge")}
        oracle.edges ^= change
        oracle.step(at, {s for edge in change for s in edge})
        a, b = ([edge[i] for edge in edges] for i in (0, 1))
        row = {"operation_id": len(history) + 1, "timestamp": at, "kind": kind}
        history.append(row | {"edges_a": a, "edges_b": b})
    # most in two batches, the rest one by one
    for some in (history[:30], history[30:52]):
        local.replay(conn, "seg", pa.Table.from_pylist(some))
    for row in history[52:]:
        pairs = list(zip(row["edges_a"], row["edges_b"], strict=True))
        edit = graph.merge if row["kind"] == "merge" else graph.split
        edit(pairs, at=row["timestamp"], strict=False)
    return graph, oracle


def test_ids_name_the_same_parts_for_ever(told: tuple[LocalGraph, Oracle]) -> None:
    graph, oracle = told
    level2 = graph.level2()
    names: dict[Part, int] = {}
    before: set[Part] = set()
    for at, parts in oracle.after:
        found = dict(zip(SV, level2.of_supervoxels(np.array(SV), at).tolist(), strict=True))
        for part in parts:
            (name,) = {found[s] for s in part[0]}
            assert names.setdefault(part, name) == name
        if before:
            earlier = level2.of_supervoxels(np.array(SV), at - MS)
            assert set(earlier.tolist()) == {names[part] for part in before}
        before = parts
    # two parts never have one name; a name tells its layer and chunk
    assert len(set(names.values())) == len(names) > 60
    every = np.array(list(names.values()))
    assert set(layer_of(every).tolist()) == {2}
    chunks = chunk_of([min(part) for part, _ in names], graph.n_layers or 0)
    assert chunk_of(every, graph.n_layers or 0).tolist() == chunks.tolist()

    # back from names to supervoxels, lives and roots
    asked = np.concatenate([every, UNKNOWN])
    leaves = level2.leaves(asked)
    assert {n: frozenset(s.tolist()) for n, s in leaves.items()} == {
        name: part for (part, _), name in names.items()
    }
    for at, parts in oracle.after[::6]:
        alive = level2.alive(asked, at)
        assert {n for n, s in zip(asked.tolist(), alive, strict=True) if s} == {
            names[part] for part in parts
        }
        assert all(s in leaves[n] for n, s in zip(asked.tolist(), alive.tolist(), strict=True) if s)
        until = level2.leaves(asked, until=at)
        made = [names[p] for p in names if oracle.after[p[1]][0] <= at]
        assert sorted(until) == sorted(made)


def test_parts_of_a_root_and_their_neighbours(told: tuple[LocalGraph, Oracle]) -> None:
    graph, oracle = told
    level2 = graph.level2()
    for at, parts in oracle.after[::5]:
        roots = graph.roots(SV, at)
        nodes = dict(zip(SV, level2.of_supervoxels(np.array(SV), at).tolist(), strict=True))
        for root in np.unique(roots).tolist():
            found = level2.of_root(root, graph.leaves(root))
            right = [nodes[s] for s in found.supervoxels.tolist()]
            assert found.nodes.tolist() == right
            pairs = found.node_edges()
            # as many neighbours as hold the parts of the object together
            assert len(np.unique(pairs)) == (len(set(right)) if len(set(right)) > 1 else 0)
            assert len(pairs) >= len(set(right)) - 1
        assert len(parts) == len(set(nodes.values()))


def test_edges_of_now(told: tuple[LocalGraph, Oracle]) -> None:
    graph, oracle = told
    now = from_ms(2**41)
    nodes = graph.level2().of_supervoxels(np.array(SV), now)
    name = dict(zip(SV, nodes.tolist(), strict=True))
    right = {tuple(sorted((name[a], name[b]))) for a, b in oracle.edges if name[a] != name[b]}
    found: set[tuple[int, ...]] = set()
    for root in np.unique(graph.roots(SV, now)).tolist():
        parts = graph.level2().of_root(root, graph.leaves(root))
        found |= {tuple(pair) for pair in parts.node_edges().tolist()}
    assert found == right


def test_older_graphs_get_their_touches(told: tuple[LocalGraph, Oracle], conn: Any) -> None:
    """The migration numbers them as the edits would have."""
    right = conn.execute("SELECT * FROM graph_seg.touch ORDER BY 1").fetchall()
    conn.execute("DROP TABLE graph_seg.touch")
    conn.execute(import_module("matengine.storage.migrations.versions.0008_touches").TOUCHES)
    assert conn.execute("SELECT * FROM graph_seg.touch ORDER BY 1").fetchall() == right
    assert len(right) > 60


def test_graphs_without_level2(conn: psycopg.Connection[Any]) -> None:
    local.create(conn, "labels", start=START)
    local.load_assignment(conn, "labels", SV, [1] * len(SV))
    with pytest.raises(Invalid, match="no edges"):
        LocalGraph(conn, "labels").level2()
    local.create(conn, "plain", start=START)
    local.load_edges(conn, "plain", pa.table({"supervoxel_a": [1], "supervoxel_b": [2]}))
    with pytest.raises(Invalid, match="no chunks"):
        LocalGraph(conn, "plain").level2().of_supervoxels(np.array([1]), START)
