"""The embedded chunkedgraph: what it answers and what it writes."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from matengine.errors import Invalid, NotFound
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.segmentation.chunkedgraph.protocol import Node
from matengine.times import floor_ms, parse_time, to_ms

START = parse_time("2026-01-01")
MS = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)

# supervoxels of chunk (0, 0, 0)
A, B, C, D, E, F = ((1 << 56) + i for i in range(1, 7))


def edges(*pairs: tuple[int, int], affinity: list[float | None] | None = None) -> pa.Table:
    columns = {
        "supervoxel_a": pa.array([a for a, _ in pairs], pa.int64()),
        "supervoxel_b": pa.array([b for _, b in pairs], pa.int64()),
    }
    if affinity is not None:
        columns["affinity"] = pa.array(affinity, pa.float32())
    return pa.table(columns)


@pytest.fixture
def graph(conn: Any) -> LocalGraph:
    """Objects A-B-C and D-E, and F alone."""
    local.create(conn, "seg", start=START, chunk_size=(64, 64, 32))
    local.load_edges(conn, "seg", edges((A, B), (B, C), (D, E)), [F])
    conn.commit()
    return LocalGraph(conn, "seg")


def root(graph: LocalGraph, supervoxel: int, at: datetime) -> int:
    return int(graph.roots([supervoxel], at)[0])


def everything(conn: Any) -> dict[str, list[Any]]:
    """All rows of all tables."""
    tables = ["meta", "edge", "member", "fragment_root", "root", "root_former", "operation"]
    return {
        table: sorted(conn.execute(f"SELECT * FROM graph_seg.{table}").fetchall(), key=str)  # noqa: S608
        for table in tables
    }


def test_the_beginning(graph: LocalGraph) -> None:
    roots = graph.roots([C, A, 0, F, D, A, 99], START)
    assert roots[0] == roots[1] == roots[5]
    assert roots[2] == roots[6] == 0
    assert len(set(roots.tolist())) == 4
    # three layers: one chunk, and the roots above
    assert graph.n_layers == 3
    assert {r >> 56 for r in roots.tolist() if r} == {3}
    assert not graph.roots([A, B], START - MS).any()
    assert graph.oldest_timestamp() == START
    assert graph.chunk_size == (64, 64, 32)
    assert graph.settle == timedelta(0)


def test_the_worked_example_of_a_history(conn: Any) -> None:
    """10 and 20 merge to 40 at minute 10, 40 splits to 50 and 60 at 20, 60 and 30 merge at 30."""
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges((A, B)), [C, D])
    graph = LocalGraph(conn, "seg")

    def minute(m: float) -> datetime:
        return START + m * MINUTE

    graph.merge([(B, C)], at=minute(10))
    graph.split([(A, B)], at=minute(20))
    graph.merge([(C, D)], at=minute(30))
    r10, r20, r30 = graph.roots([A, C, D], START).tolist()
    r40 = root(graph, A, minute(15))
    r50, r60 = graph.roots([A, B], minute(25)).tolist()
    r70 = root(graph, D, minute(35))

    lineage = graph.lineage([r70], past=minute(5))
    assert set(lineage.nodes) == {r70, r60, r30, r40, r10, r20}
    assert lineage.nodes[r70] == Node(to_ms(minute(30)), None)
    assert lineage.nodes[r60] == Node(to_ms(minute(20)), 3)
    assert lineage.nodes[r40] == Node(to_ms(minute(10)), 2)
    assert lineage.nodes[r10] == Node(to_ms(START), 1)
    assert lineage.links == sorted([(r60, r70), (r30, r70), (r40, r60), (r10, r40), (r20, r40)])
    assert graph.lineage([r40], START, minute(15)).links == sorted(
        [(r10, r40), (r20, r40), (r40, r50), (r40, r60)]
    )
    # a root made at the future bound itself is still followed to what ended it
    lineage = graph.lineage([r10], future=minute(10))
    assert lineage.links == sorted([(r10, r40), (r40, r50), (r40, r60)])
    assert set(lineage.nodes) == {r10, r40, r50, r60}
    assert graph.lineage([r10], future=minute(10) - MS).links == [(r10, r40)]
    # half-open: a root is its own past from the moment it is made
    assert graph.lineage([r40], minute(10), minute(15)).links == sorted([(r40, r50), (r40, r60)])
    assert graph.past_ids([r70], minute(5), minute(60)) == {r70: sorted([r10, r20, r30])}
    assert graph.past_ids([r70], minute(25), minute(60)) == {r70: sorted([r60, r30])}
    assert graph.past_ids([r50, r70], minute(30), minute(60)) == {r50: [r50], r70: [r70]}
    assert graph.latest_ids([r10, r30], minute(60)) == {r10: sorted([r50, r70]), r30: [r70]}
    assert graph.latest_ids([r10, r70], minute(15)) == {r10: [r40], r70: []}

    delta = graph.delta_roots(minute(5), minute(20))
    assert delta.old_roots.tolist() == sorted([r10, r20, r40])
    assert delta.new_roots.tolist() == sorted([r40, r50, r60])
    delta = graph.delta_roots(minute(10), minute(20) - MS)
    assert (delta.old_roots.size, delta.new_roots.size) == (0, 0)
    assert graph.delta_roots(START - MINUTE, START).new_roots.size == 0

    assert graph.leaves(r40).tolist() == [A, B, C]
    assert graph.leaves(r60).tolist() == [B, C]
    assert graph.is_latest([r40, r40, 5], minute(20)).tolist() == [False, False, False]
    assert graph.is_latest([r40, r50], minute(20) - MS).tolist() == [True, False]
    assert graph.root_timestamps([r70, r10]).tolist() == [to_ms(minute(30)), to_ms(START)]


def test_times_are_cut_to_the_millisecond(graph: LocalGraph) -> None:
    micro = timedelta(microseconds=999)
    edit = graph.merge([(A, D)], at=START + MINUTE + micro)
    assert edit.at == START + MINUTE
    assert root(graph, A, START + MINUTE) == edit.new_roots[0]
    assert root(graph, A, START + MINUTE - timedelta(microseconds=1)) != edit.new_roots[0]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda g: g.merge([(A, C)]), "different objects"),
        (lambda g: g.merge([(A, D), (A, B)]), "different objects"),
        (lambda g: g.merge([(A, 77)]), "no supervoxel 77"),
        (lambda g: g.merge([]), "at least one"),
        (lambda g: g.merge([(A, D), (A,)]), "pairs"),
        (lambda g: g.merge([(A, D, E, F)]), "pairs"),
        (lambda g: g.merge([(A, A)]), "two different"),
        (lambda g: g.merge([(A, 0)]), "positive"),
        (lambda g: g.merge([(A, 1.5)]), "whole numbers"),
        (lambda g: g.merge(np.array([(A, 2**63)], np.uint64)), "64 bits"),
        (lambda g: g.merge([(A, 2**63)]), "64 bits"),
        (lambda g: g.merge([(A, D)], at=START), "earliest time"),
        (lambda g: g.split([(A, C)]), "does not split"),
        (lambda g: g.split([(A, D)]), "one object"),
        (lambda g: g.split([(A, B), (D, E)]), "one object"),
        (lambda g: g.split(), "sources and sinks"),
        (lambda g: g.split(sources=[A]), "sources and sinks"),
        (lambda g: g.split(sources=[A], sinks=[D]), "one object"),
        (lambda g: g.split(sources=[A, B], sinks=[B]), "both a source and a sink"),
        (lambda g: local.relabel(g._store.conn, "seg", [A], [1]), "assignment"),
    ],
)
def test_what_is_refused_changes_nothing(
    conn: Any, graph: LocalGraph, edit: Any, says: str
) -> None:
    before = everything(conn)
    with pytest.raises(Invalid, match=says):
        edit(graph)
    assert everything(conn) == before
    graph.merge([(A, D)])  # and the graph can be edited on


def test_unknown_things_are_not_found(conn: Any, graph: LocalGraph) -> None:
    with pytest.raises(NotFound, match="Did you mean 'seg'"):
        LocalGraph(conn, "sec")
    for ask in (
        lambda: graph.root_timestamps([root(graph, A, START), 7]),
        lambda: graph.leaves(7),
        lambda: graph.lineage([7]),
        lambda: graph.past_ids([7], START, START),
        lambda: graph.latest_ids([7], START),
    ):
        with pytest.raises(NotFound, match="root id 7"):
            ask()
    with pytest.raises(NotFound, match="operation 9"):
        graph.undo(9)
    assert graph.operations([9]) == []


def test_an_idle_operation_still_renews_its_object(graph: LocalGraph) -> None:
    merged = graph.merge([(A, C)], strict=False)
    assert (merged.former_roots.size, merged.new_roots.size) == (1, 1)
    cut = graph.split([(A, C)], strict=False)
    assert cut.former_roots.tolist() == merged.new_roots.tolist()
    assert graph.leaves(int(cut.new_roots[0])).tolist() == [A, B, C]


def test_without_a_time_edits_are_now_and_in_order(conn: Any, graph: LocalGraph) -> None:
    before = floor_ms(conn.execute("SELECT clock_timestamp()").fetchone()[0])
    times = [graph.merge([(A, B)], strict=False).at for _ in range(5)]
    after = conn.execute("SELECT clock_timestamp()").fetchone()[0]
    assert all(one < next_one for one, next_one in pairwise(times))
    assert before <= times[0]
    assert times[-1] <= after + 5 * MS
    assert all(time.microsecond % 1000 == 0 for time in times)
    # a clock behind the history is bumped past it
    ahead = graph.merge([(A, B)], at=datetime(2100, 1, 1, tzinfo=UTC), strict=False).at
    assert graph.merge([(A, B)], strict=False).at == ahead + MS


def test_a_sealed_time_is_final(graph: LocalGraph) -> None:
    future = datetime(2100, 1, 1, tzinfo=UTC)
    graph.seal(future)
    graph.seal(START)  # takes nothing back
    with pytest.raises(Invalid, match="earliest time"):
        graph.merge([(A, D)], at=future)
    assert graph.merge([(A, D)]).at == future + MS


def test_undo_makes_new_roots_of_the_same_supervoxels(graph: LocalGraph) -> None:
    before = graph.roots([A, D], START)
    merged = graph.merge([(A, D), (C, E)])
    undone = graph.undo(merged.operation_id)
    assert not np.isin(undone.new_roots, before).any()
    assert [graph.leaves(r).tolist() for r in undone.new_roots] == [[A, B, C], [D, E]]
    redone = graph.undo(undone.operation_id)
    assert graph.leaves(int(redone.new_roots[0])).tolist() == [A, B, C, D, E]
    with pytest.raises(Invalid, match="no edge left"):
        graph.undo(merged.operation_id)  # the redo added those edges, not this operation
    assert [o.undo_of for o in graph.list_operations()] == [None, 1, 2]


def test_undo_leaves_an_edge_that_was_there_before(graph: LocalGraph) -> None:
    merged = graph.merge([(A, B), (A, D)], strict=False)
    graph.undo(merged.operation_id)
    now = graph.list_operations()[-1].at
    assert root(graph, A, now) == root(graph, B, now) != root(graph, D, now)


def test_undo_leaves_an_edge_that_was_changed_since(graph: LocalGraph) -> None:
    first = graph.split([(A, B)])
    graph.merge([(A, B)])
    second = graph.split([(A, B)])
    with pytest.raises(Invalid, match="no edge left"):
        graph.undo(first.operation_id)
    assert graph.undo(second.operation_id).new_roots.size == 1


def test_an_edge_is_there_once_however_often_it_is_added(conn: Any, graph: LocalGraph) -> None:
    graph.split([(A, B)])
    for _ in range(3):
        graph.merge([(A, B)], strict=False)
    rows = conn.execute(
        "SELECT from_ms, to_ms FROM graph_seg.edge WHERE a = %s AND b = %s ORDER BY 1", (A, B)
    ).fetchall()
    split, merged, *_ = (to_ms(o.at) for o in graph.list_operations())
    assert rows == [(to_ms(START), split), (merged, 2**63 - 1)]


def test_an_edge_keeps_its_affinity(conn: Any) -> None:
    """A-B-C-D in a row; the weak edge B-C is removed and added again, and is still the weak one."""
    local.create(conn, "seg", start=START)
    row = edges((A, B), (B, C), (C, D), affinity=[0.9, 0.1, 0.9])
    local.load_edges(conn, "seg", row)
    graph = LocalGraph(conn, "seg")
    graph.split([(B, C)])
    graph.merge([(B, C)])
    graph.split(sources=[A], sinks=[D])
    assert graph.list_operations()[-1].edges.tolist() == [[B, C]]


def test_a_cut_never_takes_pieces_of_one_supervoxel(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    inf = float("inf")
    ring = edges((A, B), (B, C), (C, D), (D, A), affinity=[inf, 0.2, inf, 0.3])
    local.load_edges(conn, "seg", ring)
    graph = LocalGraph(conn, "seg")
    with pytest.raises(Invalid, match="no cut can part"):
        graph.split(sources=[A], sinks=[B])
    preview = graph.preview_split(sources=[A], sinks=[C])
    assert sorted(piece.tolist() for piece in preview) == [[A, B], [C, D]]
    assert graph.list_operations() == []
    edit = graph.split(sources=[A], sinks=[C])
    assert sorted(graph.leaves(r).tolist() for r in edit.new_roots) == [[A, B], [C, D]]


def test_operations_are_recorded(graph: LocalGraph) -> None:
    merged = graph.merge([(D, A)], user_id=7, at=START + MINUTE)
    split = graph.split(sources=[C], sinks=[E], user_id=8, at=START + 2 * MINUTE)
    first, second = graph.operations([2, 1])
    assert (first.kind, first.user_id, first.at) == ("merge", 7, START + MINUTE)
    assert first.edges.tolist() == [[A, D]]
    assert first.former_roots.tolist() == merged.former_roots.tolist()
    assert first.new_roots.tolist() == merged.new_roots.tolist()
    assert (second.kind, second.sources.tolist(), second.sinks.tolist()) == ("split", [C], [E])
    assert second.new_roots.tolist() == split.new_roots.tolist()
    # of equal cuts the one nearest to the source
    assert second.edges.tolist() == [[B, C]]
    assert [o.operation_id for o in graph.list_operations(user_id=8)] == [2]
    assert [o.operation_id for o in graph.list_operations(until=START + 2 * MINUTE)] == [1]
    assert [o.operation_id for o in graph.list_operations(since=START + 2 * MINUTE)] == [2]


def test_a_merge_moves_no_supervoxel_and_a_split_only_the_smaller_side(conn: Any) -> None:
    n = 1000
    chain = (1 << 56) + np.arange(1, n + 1)
    local.create(conn, "seg", start=START)
    rows = list(zip(chain[:-1].tolist(), chain[1:].tolist(), strict=True))
    del rows[499]
    local.load_edges(conn, "seg", edges(*rows))
    graph = LocalGraph(conn, "seg")
    members = "SELECT count(*) FROM graph_seg.member"
    graph.merge([(int(chain[499]), int(chain[500]))])
    assert conn.execute(members).fetchone() == (n,)
    graph.split([(int(chain[989]), int(chain[990]))])
    assert conn.execute(members).fetchone() == (n + 10,)
    assert len(graph.leaves(root(graph, int(chain[0]), datetime.now(UTC) + MINUTE))) == 990


def test_answers_are_right_for_very_large_ids(conn: Any) -> None:
    top = 2**63 - 1
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges((top - 1, top), (top - 3, top - 2)))
    graph = LocalGraph(conn, "seg")
    assert graph.n_layers == 5  # the default: such ids tell no chunk
    graph.merge([(top - 2, top - 1)])
    now = graph.list_operations()[0].at
    assert graph.leaves(root(graph, top, now)).tolist() == [top - 3, top - 2, top - 1, top]
    assert root(graph, top, START) != root(graph, top - 2, START)
