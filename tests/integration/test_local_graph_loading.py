"""How the embedded chunkedgraph is filled, replayed, and shared between connections."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from matengine.errors import Conflict, Invalid, NotFound
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.local import LocalGraph, roots
from matengine.times import parse_time

START = parse_time("2026-01-01")
MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)

A, B, C, D, E, F = ((1 << 56) + i for i in range(1, 7))


def edges(a: list[int], b: list[int], **more: Any) -> pa.Table:
    return pa.table(
        {"supervoxel_a": pa.array(a, pa.int64()), "supervoxel_b": pa.array(b, pa.int64()), **more}
    )


def history(*operations: dict[str, Any]) -> pa.Table:
    lists = dict.fromkeys(("edges_a", "edges_b", "source_ids", "sink_ids"), pa.list_(pa.int64()))
    types = {
        "operation_id": pa.int64(),
        "timestamp": pa.timestamp("ms", "UTC"),
        "kind": pa.string(),
    }
    columns = types | lists
    return pa.table(
        {
            name: pa.array([operation.get(name, []) for operation in operations], kind)
            for name, kind in columns.items()
        }
    )


def merge(number: int, seconds: int, a: list[int], b: list[int], **more: Any) -> dict[str, Any]:
    return {
        "operation_id": number,
        "timestamp": START + seconds * SECOND,
        "kind": "merge",
        "edges_a": a,
        "edges_b": b,
    } | more


def test_edges_are_an_undirected_set(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    table = edges(
        [A, B, A, B], [B, A, B, C], affinity=pa.array([0.1, 0.7, 0.8, None], pa.float32())
    )
    assert local.load_edges(conn, "seg", table, [A, F, F]) == 2
    graph = LocalGraph(conn, "seg")
    pairs, affinity, area = graph.edges(int(graph.roots([A], START)[0]))
    assert pairs.tolist() == [[A, B], [B, C]]
    assert affinity.tolist() == pytest.approx([0.1, np.nan], nan_ok=True)
    assert area.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (edges([A], [A]), "an edge to itself"),
        (edges([A], [0]), "0 cannot be"),
        (edges([A], [-3]), "-3 cannot be"),
        (edges([A], [None]), "without nulls"),  # type: ignore[list-item]
        (pa.table({"supervoxel_a": [A]}), "need a column supervoxel_b"),
        (edges([A], [B], affinity=[-0.5]), "affinity"),
        (edges([A], [B], affinity=[float("nan")]), "affinity"),
    ],
)
def test_wrong_edges_are_refused(conn: Any, table: pa.Table, says: str) -> None:
    local.create(conn, "seg", start=START)
    with pytest.raises(Invalid, match=says):
        local.load_edges(conn, "seg", table)
    assert local.load_edges(conn, "seg", edges([A], [B])) == 1


def test_a_graph_is_made_and_loaded_once_and_dropped(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    with pytest.raises(Conflict, match="'seg' exists"):
        local.create(conn, "seg", start=START)
    with pytest.raises(Invalid, match="a chunkedgraph"):
        local.create(conn, 'x"; DROP', start=START)
    local.load_edges(conn, "seg", edges([A], [B]))
    with pytest.raises(Conflict, match="loaded already"):
        local.load_edges(conn, "seg", edges([C], [D]))
    local.create(conn, "other", start=START)
    assert local.graphs(conn) == ["other", "seg"]
    local.drop(conn, "seg")
    assert local.graphs(conn) == ["other"]
    with pytest.raises(NotFound):
        local.drop(conn, "seg")


def test_an_empty_graph_answers(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    graph = LocalGraph(conn, "seg")
    assert graph.roots([A, 0], START).tolist() == [0, 0]
    assert graph.roots([], START).shape == (0,)
    with pytest.raises(Invalid, match="is empty"):
        graph.merge([(A, B)])
    assert local.load_edges(conn, "seg", edges([], [])) == 0


def test_layers_fit_the_chunks(conn: Any) -> None:
    def supervoxel(x: int, y: int, z: int) -> int:
        return (1 << 56) | (x << 46) | (y << 36) | (z << 26) | 1

    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges([supervoxel(0, 0, 0)], [supervoxel(3, 8, 1)]))
    # nine chunks along y: ceil(log2(9)) + 2
    assert LocalGraph(conn, "seg").n_layers == 6


def test_added_supervoxels_have_always_been_objects_of_their_own(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges([A], [B]))
    graph = LocalGraph(conn, "seg")
    graph.merge([(B, C)], strict=False)  # C appears
    assert local.add_supervoxels(conn, "seg", [A, C, D, E, D]) == 2
    roots = graph.roots([A, B, C, D, E], START)
    assert roots.all()
    assert roots[0] == roots[1]
    assert len(np.unique(roots)) == 4


def test_an_assignment_is_relabelled(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    given = [4_000_000_000_000_000_001, 4_000_000_000_000_000_002]
    labels = [given[0], given[0], given[0], given[1], given[1]]
    local.load_assignment(conn, "seg", [A, B, C, D, E], labels, labels_are_roots=True)
    graph = LocalGraph(conn, "seg")
    assert graph.roots([A, B, C, D, E], START).tolist() == labels
    edit = local.relabel(conn, "seg", [C, D], [9, 9], at=START + SECOND)
    assert edit.former_roots.tolist() == given
    assert not np.isin(edit.new_roots, given).any()
    pieces = sorted(graph.leaves(root).tolist() for root in edit.new_roots)
    assert pieces == [[A, B], [C, D], [E]]
    a, _, c, d, e = graph.roots([A, B, C, D, E], edit.at).tolist()
    assert graph.past_ids([a, c, e], START, edit.at) == {a: [given[0]], c: given, e: [given[1]]}
    assert c == d
    for refused in (lambda: graph.merge([(A, B)]), lambda: graph.preview_split([(A, B)])):
        with pytest.raises(Invalid, match="no edges"):
            refused()
    with pytest.raises(Invalid, match="cannot be undone"):
        graph.undo(edit.operation_id)


@pytest.mark.parametrize(
    ("supervoxels", "labels"), [([A, A], [1, 1]), ([A, B], [1]), ([0], [1]), ([-4], [1])]
)
def test_a_wrong_assignment_is_refused(
    conn: Any, supervoxels: list[int], labels: list[int]
) -> None:
    local.create(conn, "seg", start=START)
    with pytest.raises(Invalid):
        local.load_assignment(conn, "seg", supervoxels, labels)
    local.load_assignment(conn, "seg", [B], [1])
    with pytest.raises(Invalid):
        local.relabel(conn, "seg", supervoxels, labels)


def test_a_replay_plays_minimum_cuts_and_knows_new_supervoxels(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges([A, B, C], [B, C, D], affinity=[0.5, 0.25, 0.5]))
    cut = {"kind": "split", "source_ids": [A], "sink_ids": [D]}
    told: list[tuple[int, int | None]] = []
    played = local.replay(
        conn, "seg",
        history(merge(5, 1, [E], [D]), merge(6, 2, [], [], **cut), merge(9, 3, [F], [A])),
        lambda done, total, what: told.append((done, total)),
    )  # fmt: skip
    assert played == 3
    assert (told[0], told[-1]) == ((0, 3), (3, 3))
    graph = LocalGraph(conn, "seg")
    assert graph.operations([6])[0].edges.tolist() == [[B, C]]
    a, b, c, d, e, f = graph.roots([A, B, C, D, E, F], START + 3 * SECOND).tolist()
    assert a == b == f
    assert c == d == e != a
    assert graph.roots([E, F], START).all()
    # edits go on from the last operation id
    assert graph.merge([(A, C)]).operation_id == 10


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        ([merge(1, 5, [A], [C]), merge(2, 5, [A], [B])], Invalid),  # not later
        ([merge(1, 0, [A], [C])], Invalid),  # not after the start
        ([merge(1, 1, [A], [])], Invalid),
        ([merge(1, 1, [A], [A])], Invalid),
        ([merge(1, 1, [], [])], Invalid),
        ([merge(1, 1, [A], [C]), merge(2, 2, [A], [C], kind="erase")], Invalid),
        ([merge(1, 1, [A], [F]), merge(2, 2, [], [], kind="split")], Invalid),
        ([merge(1, 1, [A], [F]), merge(2, 2, [], [], kind="split", source_ids=[A],
                                        sink_ids=[A])], Invalid),
    ],
)  # fmt: skip
def test_a_wrong_history_is_refused_whole(conn: Any, operations: Any, error: Any) -> None:
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges([A, C], [B, D]))
    with pytest.raises(error):
        local.replay(conn, "seg", history(*operations))
    graph = LocalGraph(conn, "seg")
    assert graph.list_operations() == []
    assert graph.roots([F], START).tolist() == [0]


def test_a_history_that_contradicts_what_was_played_is_refused(conn: Any) -> None:
    local.create(conn, "seg", start=START)
    local.load_edges(conn, "seg", edges([A, C], [B, D]))
    local.replay(conn, "seg", history(merge(1, 5, [A], [C])))
    with pytest.raises(Conflict, match="another time"):
        local.replay(conn, "seg", history(merge(1, 6, [A], [C])))
    with pytest.raises(Invalid, match="earliest"):
        local.replay(conn, "seg", history(merge(1, 5, [A], [C]), merge(2, 4, [A], [D])))
    with pytest.raises(Invalid, match="timestamp"):
        local.replay(conn, "seg", history().drop_columns(["timestamp"]))


def test_one_edit_at_a_time_and_readers_go_on(av: Any) -> None:
    with av.connect() as one, av.connect() as other, av.connect() as reader:
        local.create(one, "seg", start=START)
        local.load_edges(one, "seg", edges([A, C, E], [B, D, F]))
        one.commit()
        editing, waiting = LocalGraph(one, "seg"), LocalGraph(other, "seg")
        other.rollback()
        edit = editing.merge([(A, C)])
        other.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            waiting.merge([(C, E)])
        other.rollback()
        other.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            waiting.seal(edit.at)
        other.rollback()
        # the reader waits for nobody and sees what is committed
        reader.execute("SET lock_timeout = '50ms'")
        graph = LocalGraph(reader, "seg")
        a, c = graph.roots([A, C], edit.at).tolist()
        assert a != c
        one.commit()
        a, c = graph.roots([A, C], edit.at).tolist()
        assert a == c == edit.new_roots[0]
        later = waiting.merge([(C, E)])
        assert later.operation_id == edit.operation_id + 1
        assert later.at > edit.at
        assert a in later.former_roots


def test_an_edit_that_waited_sees_what_it_waited_for(av: Any) -> None:
    with av.connect() as one, av.connect() as other, av.connect() as watcher:
        local.create(one, "seg", start=START)
        local.load_edges(one, "seg", edges([A, C, E], [B, D, F]))
        one.commit()
        watcher.autocommit = True
        first = LocalGraph(one, "seg").merge([(A, C)])
        pid = other.info.backend_pid
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(lambda: LocalGraph(other, "seg").merge([(C, E)]))
            blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            while not watcher.execute(blocked, (pid,)).fetchone()[0]:
                assert not waiting.done()
            one.commit()
            second = waiting.result()
        assert first.new_roots[0] in second.former_roots
        assert LocalGraph(other, "seg").leaves(second.new_roots[0]).tolist() == [A, B, C, D, E, F]


def test_an_edit_is_the_callers_to_commit(av: Any) -> None:
    with av.connect() as setup:
        local.create(setup, "seg", start=START)
        local.load_edges(setup, "seg", edges([A, C], [B, D]))
    with av.connect() as conn:
        LocalGraph(conn, "seg").merge([(A, C)])
        conn.rollback()
        assert LocalGraph(conn, "seg").list_operations() == []
        conn.rollback()
        # a refused edit leaves the caller's transaction usable
        conn.execute("CREATE TABLE kept (x int)")
        with pytest.raises(Invalid):
            LocalGraph(conn, "seg").merge([(A, B)])
        conn.commit()
        conn.autocommit = True
        conn.execute("SELECT * FROM kept")
        LocalGraph(conn, "seg").merge([(A, C)])
    with av.connect() as conn:
        assert len(LocalGraph(conn, "seg").list_operations()) == 1


def test_roots_are_the_same_in_blocks_together_and_one_by_one(
    conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of ids that come twice, and of such as the graph lacks or had not split yet."""
    local.create(conn, "seg", start=START)
    objects = (np.arange(200) + A).reshape(20, 10)
    local.load_edges(conn, "seg", edges(objects[:, :-1].ravel(), objects[:, 1:].ravel()))
    local.split(conn, "seg", [tuple(objects[3, 4:6])], at=START + SECOND)
    local.merge(conn, "seg", [(objects[0, 0], objects[9, 0])], at=START + 2 * SECOND)
    graph = LocalGraph(conn, "seg")
    asked = np.random.default_rng(0).permutation(np.r_[objects.ravel(), objects[3], 0, 7, 1 << 60])
    times = (START - MS, START, START + SECOND, START + 2 * SECOND)
    together = {at: graph.roots(asked, at).tolist() for at in times}
    for i in range(0, len(asked), 20):
        assert graph.roots(asked[i : i + 1], times[-1]).tolist() == [together[times[-1]][i]]
    monkeypatch.setattr(roots, "BLOCK_IDS", 7)
    monkeypatch.setattr(roots, "MANY_IDS", 1)
    conn.execute("SET enable_hashjoin = on")
    for at, expected in together.items():
        assert graph.roots(asked, at).tolist() == expected
    assert len({*together[START]}) == 21  # with 0
    assert len({*together[START + SECOND]}) == 22
    assert conn.execute("SHOW enable_hashjoin").fetchone() == ("on",)
