"""Random histories: the embedded chunkedgraph against the one in memory."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.local import fragments, packed
from matengine.segmentation.chunkedgraph.local.edges import active_edges
from matengine.segmentation.chunkedgraph.local.store import NEVER, find
from matengine.testing.graph import MemoryGraph, as_edge
from matengine.times import from_ms, parse_time, to_ms

START = parse_time("2026-01-01")
MS = timedelta(milliseconds=1)

supervoxels = st.integers(1, 10).map(lambda i: (1 << 56) + i)
edges = (
    st.tuples(supervoxels, supervoxels).filter(lambda e: e[0] != e[1]).map(lambda e: as_edge(*e))
)
some_edges = st.lists(edges, min_size=1, max_size=3)
# few values, so that cuts tie; 0.1 and 0.3 have no short binary form
affinities = st.sampled_from([None, 0.0, 0.1, 0.25, 0.3, 0.3, 0.5, 1.0, 3e-7, float("inf")]).map(
    lambda w: None if w is None else float(np.float32(w))
)
sides = st.sets(supervoxels, min_size=1, max_size=2)
gaps = st.sampled_from([1, 2, 1000, 86_400_000])


def unpack(conn: Any, name: str) -> None:
    """Store the edges of a graph's beginning as graphs that were loaded long ago have them."""
    store = find(conn, name)
    rows = store.run("DELETE FROM {g}.packed_edges RETURNING edges").fetchall()
    edges = np.frombuffer(b"".join(row for (row,) in rows), packed.EDGE)
    store.run_many(
        "INSERT INTO {g}.edge"
        " SELECT %s, %s, nullif(%s::real, 'NaN'), NULL, start_ms, %s FROM {g}.meta",
        [(a, b, affinity, NEVER) for a, b, affinity, _ in edges.tolist()],
    )


class GraphMachine(RuleBasedStateMachine):
    """`graph` is under test, `truth` the oracle; `name_of` maps its root ids to the oracle's."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.connect = connect
        self.conn = connect()
        self.name = f"g_{uuid.uuid4().hex[:8]}"
        self.known: set[int] = set()
        self.times = [START - MS, START]

    @initialize(
        base=st.dictionaries(edges, affinities, max_size=12),
        lone=st.sets(supervoxels),
        size=st.sampled_from([1, 2, 3, fragments.SIZE]),
        aged=st.booleans(),
    )
    def begin(
        self,
        base: dict[tuple[int, int], float | None],
        lone: set[int],
        size: int,
        aged: bool,
    ) -> None:
        """Also with objects of many fragments, and with edges as they were stored once."""
        self.truth = MemoryGraph(START, base, lone)
        local.create(self.conn, self.name, start=START, n_layers=6)
        table = pa.table(
            {
                "supervoxel_a": pa.array([a for a, _ in base], pa.int64()),
                "supervoxel_b": pa.array([b for _, b in base], pa.int64()),
                "affinity": pa.array(base.values(), pa.float32()),
            }
        )
        self.patch.setattr(fragments, "SIZE", size)
        self.patch.setattr(packed, "ROW_EDGES", size)
        self.patch.setattr(packed, "READ_FRAGMENTS", size)
        local.load_edges(self.conn, self.name, table, sorted(lone))
        if aged:
            unpack(self.conn, self.name)
        self.conn.commit()
        self.graph = local.LocalGraph(self.conn, self.name)
        self.active = {START: frozenset(self.truth.edges)}
        self.name_of = {0: 0}
        self.pair_up(START)

    @rule(edges=some_edges, gap=gaps, strict=st.booleans())
    def merge(self, edges: list[tuple[int, int]], gap: int, strict: bool) -> None:
        self.both(gap, lambda graph, at: graph.merge(edges, at=at, strict=strict))

    @rule(edges=some_edges, gap=gaps, strict=st.booleans())
    def split(self, edges: list[tuple[int, int]], gap: int, strict: bool) -> None:
        self.both(gap, lambda graph, at: graph.split(edges, at=at, strict=strict))

    @precondition(lambda self: self.truth.edges)
    @rule(gap=gaps, data=st.data())
    def split_an_edge(self, gap: int, data: st.DataObject) -> None:
        edge = data.draw(st.sampled_from(sorted(self.truth.edges)))
        self.both(gap, lambda graph, at: graph.split([edge], at=at))

    @rule(sources=sides, sinks=sides, gap=gaps, strict=st.booleans())
    def cut(self, sources: set[int], sinks: set[int], gap: int, strict: bool) -> None:
        near, far = sorted(sources), sorted(sinks)
        done = self.both(
            gap, lambda graph, at: graph.split(sources=near, sinks=far, at=at, strict=strict)
        )
        if done:
            (operation,) = self.graph.operations([done.operation_id])
            assert {tuple(e) for e in operation.edges.tolist()} == done.edges

    @precondition(lambda self: self.truth.operations)
    @rule(gap=gaps, data=st.data())
    def undo(self, gap: int, data: st.DataObject) -> None:
        operation_id = data.draw(st.sampled_from(sorted(self.truth.operations)))
        self.both(gap, lambda graph, at: graph.undo(operation_id, at=at))

    @rule(edges=some_edges, gap=gaps)
    def roll_back(self, edges: list[tuple[int, int]], gap: int) -> None:
        self.graph.merge(edges, at=from_ms(self.truth.last_ms + gap), strict=False)
        self.conn.rollback()

    @rule()
    def restart(self) -> None:
        self.conn.close()
        self.conn = self.connect()
        self.graph = local.LocalGraph(self.conn, self.name)

    @rule(ms=st.integers(-2, 86_400_000 * 3), other=st.integers(-2, 86_400_000 * 3))
    def ask(self, ms: int, other: int) -> None:
        self.compare_at(START + ms * MS)
        self.compare_between(START + ms * MS, START + other * MS)

    @invariant()
    def recent_roots_agree(self) -> None:
        for at in self.times[-2:]:
            self.compare_at(at)

    def teardown(self) -> None:
        if hasattr(self, "truth"):
            for at in self.times:
                self.compare_at(at)
            self.compare_edges()
            for past, future in zip(self.times, self.times[3:] + self.times[:3], strict=False):
                self.compare_between(past, future)
        self.conn.rollback()
        if self.name in local.graphs(self.conn):
            local.drop(self.conn, self.name)
            self.conn.commit()
        self.conn.close()
        self.patch.undo()

    def both(self, gap: int, edit: Callable[[Any, Any], Any]) -> Any:
        """Edit graph and oracle at the same time; what one refuses the other refuses too."""
        at = from_ms(self.truth.last_ms + gap)
        try:
            expected = edit(self.truth, at)
        except Invalid:
            with pytest.raises(Invalid):
                edit(self.graph, at)
            return None
        done = edit(self.graph, at)
        self.conn.commit()
        self.times += [at - MS, at]
        self.pair_up(at)
        self.active[at] = frozenset(self.truth.edges)
        self.pair_up(START)  # a supervoxel may have first appeared
        assert done.at == expected.at
        assert done.operation_id == expected.operation_id
        assert self.named(done.former_roots) == expected.former_roots.tolist()
        assert self.named(done.new_roots) == expected.new_roots.tolist()
        return expected

    def pair_up(self, at: Any) -> None:
        """Learn which root is which of the oracle's, by the supervoxels of both."""
        everything = sorted({s for life in self.truth.lives.values() for s in life.supervoxels})
        found = self.graph.roots(everything, at)
        for mine, name in zip(
            found.tolist(), self.truth.roots(everything, at).tolist(), strict=True
        ):
            assert self.name_of.setdefault(mine, name) == name
        assert len(set(self.name_of.values())) == len(self.name_of)

    def named(self, roots: Any) -> list[int]:
        return sorted(self.name_of[int(root)] for root in roots)

    def compare_at(self, at: Any) -> None:
        wanted = [0, 5, *((1 << 56) + i for i in range(12, 0, -1)), (1 << 56) + 3]
        mine = [self.name_of[root] for root in self.graph.roots(wanted, at).tolist()]
        assert mine == self.truth.roots(wanted, at).tolist()
        roots = [*self.name_of, 17]
        names = [*self.name_of.values(), 17]
        assert self.graph.is_latest(roots, at).tolist() == self.truth.is_latest(names, at).tolist()

    def compare_edges(self) -> None:
        """Those that were active after each operation, with their affinities."""
        everything = (1 << 56) + np.arange(1, 11)
        for at, pairs in self.active.items():
            found = active_edges(find(self.conn, self.name), everything, to_ms(at))
            affinity = zip(found.a.tolist(), found.b.tolist(), found.affinity.tolist(), strict=True)
            mine = {(a, b): None if np.isnan(w) else w for a, b, w in affinity}
            assert mine == {pair: self.truth.affinity[pair] for pair in pairs}

    def compare_between(self, past: Any, future: Any) -> None:
        mine, truth = self.graph.delta_roots(past, future), self.truth.delta_roots(past, future)
        assert self.named(mine.old_roots) == truth.old_roots.tolist()
        assert self.named(mine.new_roots) == truth.new_roots.tolist()
        roots = [root for root in self.name_of if root]
        names = [self.name_of[root] for root in roots]
        assert (
            self.graph.root_timestamps(roots).tolist() == self.truth.root_timestamps(names).tolist()
        )
        assert self.mapped(self.graph.past_ids(roots, past, future)) == self.truth.past_ids(
            names, past, future
        )
        assert self.mapped(self.graph.latest_ids(roots, past)) == self.truth.latest_ids(names, past)
        for root, name in zip(roots, names, strict=True):
            assert self.graph.leaves(root).tolist() == self.truth.leaves(name).tolist()
        for some in (slice(None), slice(0, 1), slice(-1, None)):
            for bounds in ((past, future), (None, None)):
                got = self.graph.lineage(roots[some], *bounds)
                want = self.truth.lineage(names[some], *bounds)
                assert {self.name_of[r]: node for r, node in got.nodes.items()} == want.nodes
                links = sorted((self.name_of[a], self.name_of[b]) for a, b in got.links)
                assert links == want.links

    def mapped(self, answer: dict[int, list[int]]) -> dict[int, list[int]]:
        return {self.name_of[root]: self.named(others) for root, others in answer.items()}


def test_random_histories_agree_with_the_graph_in_memory(av: Any) -> None:
    run_state_machine_as_test(
        lambda: GraphMachine(av.connect),
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
