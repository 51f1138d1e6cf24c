"""The chunkedgraph's routes, against the embedded graph and the oracle."""

import gzip
import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from four_supervoxels import MS, NM, SECOND, START, SV, Box, seconds, served_box

from matengine.engine.access import User
from matengine.storage import connections
from matengine.times import to_ms


@pytest.fixture(scope="module")
def box(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """For tests that change nothing."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    connections.create_aligned_volume(name, url=server_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        with served_box(name, tmp_path_factory.mktemp("volume")) as made:
            yield made
    connections.drop_aligned_volume(name, url=server_url)


@pytest.fixture
def fresh(av: Any, tmp_path: Path) -> Iterator[Box]:
    """For tests that edit."""
    with served_box(av.name, tmp_path) as made:
        yield made


def test_versions(box: Box) -> None:
    assert box.client.get("/segmentation/api/versions").json == [0, 1]
    assert str(box.client.get("/segmentation/api/version").json).startswith("2.")


@pytest.mark.parametrize("packed", [False, True])
def test_roots_at_exact_milliseconds(box: Box, packed: bool) -> None:
    body = np.array([*SV, 0, SV[0] + 9], "<u8").tobytes()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    for second in range(1, 4):
        for at, right in (
            (START + second * SECOND, box.roots[second]),
            (START + second * SECOND - MS, box.roots[second - 1]),
        ):
            answer = box.client.post(
                f"/segmentation/api/v1/table/{box.name}/roots_binary",
                query_string={"timestamp": seconds(at)},
                data=gzip.compress(body) if packed else body,
                headers=headers,
            )
            assert np.frombuffer(answer.data, "<u8").tolist() == [*right, 0, 0]
    empty = box.client.post(f"/segmentation/api/v1/table/{box.name}/roots_binary", data=b"")
    assert (empty.status_code, empty.data) == (200, b"")
    odd = box.client.post(f"/segmentation/api/v1/table/{box.name}/roots_binary", data=b"123")
    assert odd.status_code == 400


def test_root_of_one(box: Box) -> None:
    now = box.call("GET", f"node/{SV[0]}/root")
    assert now == {"root_id": box.roots[3][0]}
    then = box.call("GET", f"node/{SV[0]}/root", timestamp=seconds(START), int64_as_str=1)
    assert then == {"root_id": str(box.roots[0][0])}
    path = f"/segmentation/api/v1/table/{box.name}/node/{SV[0]}/root"
    early = box.client.get(path, query_string={"timestamp": seconds(START - MS)})
    assert early.status_code == 404
    # a root is its own root, also once it expired
    old = box.roots[0][0]
    assert box.call("GET", f"node/{old}/root") == {"root_id": old}
    # layers between are left out, so the next one upwards answers
    level2 = box.call("GET", f"node/{SV[0]}/root", stop_layer=2)["root_id"]
    assert box.call("GET", f"node/{level2}/root", stop_layer=3) == {"root_id": box.roots[3][0]}
    assert box.call("GET", f"node/{SV[0]}/root", stop_layer=1) == {"root_id": SV[0]}


def test_leaves(box: Box) -> None:
    middle = box.roots[2][0]
    assert box.call("GET", f"node/{middle}/leaves") == {"leaf_ids": SV}
    parts = box.call("GET", f"node/{middle}/children")["children_ids"]
    assert [box.call("GET", f"node/{n}/children")["children_ids"] for n in parts] == [
        [supervoxel] for supervoxel in SV
    ]
    assert box.call("GET", f"node/{middle}/leaves", stop_layer=2) == {"leaf_ids": parts}
    assert box.call("GET", f"node/{parts[1]}/leaves") == {"leaf_ids": SV[1:2]}
    assert box.call("GET", f"node/{SV[0]}/leaves") == {"leaf_ids": SV[:1]}
    assert box.call("GET", f"node/{SV[0]}/children") == {"children_ids": []}
    some = box.call("GET", f"node/{middle}/leaves", bounds="9-17_0-1_0-1", int64_as_str="1")
    assert some == {"leaf_ids": [str(SV[1]), str(SV[2])]}
    many = box.call("POST", "node/leaves_many", {"node_ids": [middle, box.roots[3][3]]})
    assert many == {str(middle): SV, str(box.roots[3][3]): SV[2:]}
    unknown = box.client.get(f"/segmentation/api/v1/table/{box.name}/node/77/leaves")
    assert unknown.status_code == 404


def test_latest_and_timestamps(box: Box) -> None:
    one = box.roots[1][0]  # from 1 s to 2 s
    for at, alive in (
        (START + SECOND - MS, False),
        (START + SECOND, True),
        (START + 2 * SECOND - MS, True),
        (START + 2 * SECOND, False),
    ):
        found = box.call("POST", "is_latest_roots", {"node_ids": [one, 5]}, timestamp=seconds(at))
        assert found == {"is_latest": [alive, False]}
    now = box.call("POST", "is_latest_roots", {"node_ids": [box.roots[3][0], one]})
    assert now == {"is_latest": [True, False]}
    made = box.call("POST", "root_timestamps", {"node_ids": [one]}, latest="False")
    assert made == {"timestamp": [to_ms(START + SECOND) / 1000]}
    at = START + 5 * SECOND
    last = box.call(
        "POST",
        "root_timestamps",
        {"node_ids": [str(one), str(box.roots[3][0])]},
        latest="True",
        timestamp=seconds(at),
    )
    assert last == {"timestamp": [to_ms(START + 2 * SECOND) / 1000, to_ms(at) / 1000]}


def test_delta_takes_both_ends_in(box: Box) -> None:
    def delta(past: datetime, future: datetime) -> tuple[list[int], list[int]]:
        found = box.call(
            "GET", "delta_roots",
            timestamp_past=seconds(past), timestamp_future=seconds(future),
        )  # fmt: skip
        return found["old_roots"], found["new_roots"]

    first = (sorted({*box.roots[0][:3]}), [box.roots[1][0]])
    assert delta(START + SECOND, START + SECOND) == first
    assert delta(START, START + 2 * SECOND - MS) == first
    assert delta(START + SECOND + MS, START + 2 * SECOND - MS) == ([], [])
    last = ([box.roots[2][0]], sorted({*box.roots[3]}))
    assert delta(START + 3 * SECOND, START + 9 * SECOND) == last
    path = f"/segmentation/api/v1/table/{box.name}/delta_roots"
    assert box.client.get(path).status_code == 400
    assert box.client.get(path, query_string={"timestamp_past": "x"}).status_code == 400


def test_past_ids(box: Box) -> None:
    end, whole = box.roots[3][0], box.roots[2][0]
    formers = sorted({*box.roots[0]})
    for future, later in ((START + 3 * SECOND, {}), (START + 3 * SECOND - MS, whole)):
        found = box.call(
            "GET",
            "past_id_mapping",
            {"root_ids": [end]},
            timestamp_past=seconds(START),
            timestamp_future=seconds(future),
        )
        assert found["past_id_map"] == {str(end): formers}
        assert found["future_id_map"] == (later and {str(former): later for former in formers})


def test_lineage(box: Box) -> None:
    whole = box.roots[2][0]
    found = box.call("POST", "lineage_graph_multiple", {"root_ids": [whole]}, name="ignored")
    assert (found["directed"], found["multigraph"], found["graph"]) == (True, False, {})
    links = {(link["source"], link["target"]) for link in found["links"]}
    right = {(old, box.roots[1][0]) for old in box.roots[0][:3]}
    right |= {(box.roots[1][0], whole), (box.roots[0][3], whole)}
    right |= {(whole, new) for new in box.roots[3]}
    assert links == right
    nodes = {node["id"]: node for node in found["nodes"]}
    assert nodes[whole] == {
        "id": whole,
        "timestamp": to_ms(START + 2 * SECOND) / 1000,
        "operation_id": 3,
    }
    assert "operation_id" not in nodes[box.roots[3][0]]
    texts = box.call("POST", "lineage_graph_multiple", {"root_ids": [str(whole)]}, int64_as_str=1)
    assert {(int(k["source"]), int(k["target"])) for k in texts["links"]} == right
    assert all(isinstance(node["id"], str) for node in texts["nodes"])


def test_valid_nodes(box: Box) -> None:
    every = sorted({*SV, *(root for roots in box.roots.values() for root in roots)})
    asked = [*every, 5, 6, 7]
    assert box.call("GET", "valid_nodes", {"node_ids": asked}) == {"valid_roots": every}
    early = box.call("GET", "valid_nodes", {"node_ids": asked}, end_timestamp=seconds(START))
    assert early == {"valid_roots": sorted({*SV, *box.roots[0]})}


def test_minimal_covering_nodes(box: Box) -> None:
    found = box.call("POST", "minimal_covering_nodes", {"node_ids": [SV[1], SV[2], SV[3]]})
    level2 = box.call("GET", f"node/{SV[1]}/root", stop_layer=2)["root_id"]
    assert sorted(found["node_ids"]) == sorted([level2, box.roots[3][3]])
    path = f"/segmentation/api/v1/table/{box.name}/minimal_covering_nodes?as_array=True"
    answer = box.client.post(path, data=json.dumps({"node_ids": SV}))
    assert np.frombuffer(answer.data, "<u8").tolist() == sorted({*box.roots[3]})


def test_oldest_timestamp(box: Box) -> None:
    assert box.call("GET", "oldest_timestamp") == {"iso": "2026-01-01 00:00:00.123000+00:00"}


def test_info(box: Box) -> None:
    info = box.client.get(f"/segmentation/table/{box.name}/info").json
    assert info is not None
    assert info["scales"][0]["resolution"] == list(NM)
    # a volume on this disk is read through this server
    assert info["data_dir"] == f"precomputed://http://localhost/segmentation/volume/{box.name}"
    assert info["app"] == {"supported_api_versions": [0, 1]}
    assert info["graph"]["chunk_size"] == [8, 8, 8]
    assert info["graph"]["n_layers"] == box.roots[0][0] >> 56
    assert info["graph"]["spatial_bit_masks"]["1"] == 10


# ── edits ────────────────────────────────────────────────────────────────────


def test_merge_split_undo_redo(fresh: Box) -> None:
    start = fresh.roots[3]
    points = [[SV[1], 0, 0, 0], [str(SV[2]), 0, 0, 0]]
    merged = fresh.call("POST", "merge", points, priority="False")
    assert merged["operation_id"] == 4
    (whole,) = merged["new_root_ids"]
    assert fresh.call("GET", f"node/{whole}/leaves") == {"leaf_ids": SV}

    sides = {"sources": [[SV[0], 0, 0, 0]], "sinks": [[SV[3], 0, 0, 0], [SV[2], 0, 0, 0]]}
    preview = fresh.call("POST", "graph/split_preview", sides)
    assert not preview["illegal_split"]
    assert sorted(map(sorted, preview["supervoxel_connected_components"])) in (
        [SV[:1], SV[1:]],
        [SV[:2], SV[2:]],
    )
    assert fresh.call("GET", f"node/{SV[0]}/root") == {"root_id": whole}
    split = fresh.call("POST", "split", sides, int64_as_str=1)
    assert len(split["new_root_ids"]) == 2
    assert all(isinstance(root, str) for root in split["new_root_ids"])

    undone = fresh.call("POST", "undo", {"operation_id": split["operation_id"]})
    assert len(undone["new_root_ids"]) == 1
    assert undone["new_root_ids"] != [whole]
    assert fresh.call("GET", f"node/{undone['new_root_ids'][0]}/leaves") == {"leaf_ids": SV}
    redone = fresh.call("POST", "redo", {"operation_id": split["operation_id"]})
    assert len(redone["new_root_ids"]) == 2
    assert not {*redone["new_root_ids"]} & {whole, *start}


def test_split_of_given_edges(fresh: Box) -> None:
    sides = {"sources": [[SV[2], 0, 0, 0]], "sinks": [[SV[3], 0, 0, 0]], "mincut": False}
    done = fresh.call("POST", "split", sides)
    leaves = [fresh.call("GET", f"node/{r}/leaves")["leaf_ids"] for r in done["new_root_ids"]]
    assert sorted(leaves) == [[SV[2]], [SV[3]]]


def test_points_near_an_object(fresh: Box) -> None:
    """A root and a position: its supervoxel nearest to it, though another's is nearer."""
    a_b, c_d = fresh.roots[3][0], fresh.roots[3][3]
    # x = 160 nm is where c's chunk begins; b ends at 160 nm, c begins at 170 nm
    done = fresh.call("POST", "merge", [[a_b, 165.0, 40, 80], [c_d, 155.0, 40, 80]])
    details = fresh.call("GET", "operation_details", operation_ids=f"[{done['operation_id']}]")
    assert details[str(done["operation_id"])]["added_edges"] == [[SV[1], SV[2]]]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("merge", [[SV[0], 0, 0, 0], [SV[1], 0, 0, 0]], 400),  # one object
        ("merge", [[SV[0], 0, 0, 0]], 400),
        ("merge", [[SV[0], 0, 0], [SV[2], 0, 0, 0]], 400),
        ("merge", {"a": 1}, 400),
        ("merge", [[SV[0], 0, 0, 0], [SV[2] + 8, 0, 0, 0]], 400),
        ("merge", [["a root", 0, 0, 0], [SV[2], 0, 0, 0]], 400),
        ("split", {"sources": [[SV[0], 0, 0, 0]], "sinks": [[SV[3], 0, 0, 0]]}, 400),
        ("split", {"sources": [[SV[0], 0, 0, 0]], "sinks": [[SV[0], 0, 0, 0]]}, 400),
        ("split", {"sources": []}, 400),
        ("undo", {"operation_id": 99}, 404),
        ("undo", {}, 400),
        ("redo", {"operation_id": 1}, 400),
    ],
)
def test_refused_edits_change_nothing(box: Box, path: str, body: Any, code: int) -> None:
    answer = box.client.post(f"/segmentation/api/v1/table/{box.name}/{path}", data=json.dumps(body))
    assert answer.status_code == code, answer.data
    assert [box.call("GET", f"node/{s}/root")["root_id"] for s in SV] == box.roots[3]
    assert box.call("GET", "user_operations")["operation_id"] == [1, 2, 3]


def test_points_too_far_away(box: Box) -> None:
    body = [[box.roots[3][0], 1e6, 0, 0], [box.roots[3][3], 0, 0, 0]]
    answer = box.client.post(f"/segmentation/api/v1/table/{box.name}/merge", data=json.dumps(body))
    assert answer.status_code == 400
    assert b"does not come near" in answer.data


# ── the log ──────────────────────────────────────────────────────────────────


def test_change_logs(box: Box) -> None:
    a_b, c_d = box.roots[3][0], box.roots[3][3]
    tables = box.call("GET", "tabular_change_log_many", {"root_ids": [a_b]}, filtered="False")
    table = json.loads(tables[str(a_b)])
    assert table["operation_id"] == {"0": 1, "1": 2, "2": 3}
    assert table["is_merge"] == {"0": True, "1": True, "2": False}
    assert table["timestamp"]["2"] == to_ms(START + 3 * SECOND)
    assert table["before_root_ids"]["2"] == [box.roots[2][0]]
    assert table["after_root_ids"]["0"] == [box.roots[1][0]]
    # the merge of c and d is not a--b's business any more
    filtered = box.call("GET", "tabular_change_log_many", {"root_ids": [a_b]}, filtered="True")
    assert json.loads(filtered[str(a_b)])["operation_id"] == {"0": 1, "1": 3}
    log = box.call("GET", f"root/{c_d}/change_log", filtered="True")
    assert (log["n_mergers"], log["n_splits"], log["operations_ids"]) == (2, 1, [1, 2, 3])
    assert box.roots[2][0] in log["past_ids"]
    merges = box.call("GET", f"root/{c_d}/merge_log")["merge_edges"]
    assert merges == [[SV[1], SV[2]], [SV[2], SV[3]]]


def test_operation_details(fresh: Box) -> None:
    found = fresh.call("GET", "operation_details", operation_ids="[1, 3, 44]")
    assert set(found) == {"1", "3"}
    assert found["1"]["added_edges"] == [[SV[1], SV[2]]]
    assert found["3"]["removed_edges"] == [[SV[1], SV[2]]]
    assert found["3"]["roots"] == sorted({*fresh.roots[3]})
    done = fresh.call("POST", "undo", {"operation_id": 3})["operation_id"]
    mine = fresh.call("GET", "user_operations", user_id=1)
    assert mine["operation_id"] == [done]
    again = fresh.call("GET", "operation_details", operation_ids=f"[{done}]")
    assert again[str(done)]["undo_operation_id"] == 3


def test_graph_that_moved_is_found_again(fresh: Box) -> None:
    """What a process remembers of places never outlives the catalogue."""
    assert fresh.call("GET", "oldest_timestamp")
    with psycopg.connect(fresh.url, autocommit=True) as conn:
        conn.execute("UPDATE matengine.segmentation SET graph = 'http://elsewhere'")
    path = f"/segmentation/api/v1/table/{fresh.name}/oldest_timestamp"
    assert fresh.client.get(path).status_code == 404
    with psycopg.connect(fresh.url, autocommit=True) as conn:
        conn.execute("UPDATE matengine.segmentation SET graph = 'local'")
    assert fresh.client.get(path).status_code == 200


# ── level-2 nodes, paths, and the client itself ──────────────────────────────


def test_level2_graph_and_paths(box: Box) -> None:
    whole = box.roots[2][0]
    parts = [box.call("GET", f"node/{s}/root", stop_layer=2)["root_id"] for s in SV]
    # b and c were touched by the split, so these are of now: a--b and c--d
    a_b, c_d = box.roots[3][0], box.roots[3][3]
    assert box.call("GET", f"node/{a_b}/lvl2_graph") == {"edge_graph": [sorted(parts[:2])]}
    then = box.call("GET", f"node/{whole}/children")["children_ids"]
    edges = box.call("GET", f"node/{whole}/lvl2_graph")["edge_graph"]
    assert sorted(edges) == sorted(sorted([then[i], then[i + 1]]) for i in range(3))
    assert (set(then) & set(parts)) == {parts[0], parts[3]}
    inside = box.call("GET", f"node/{whole}/lvl2_graph", bounds="8-17_0-1_0-1", int64_as_str="1")
    assert [set(map(int, edge)) for edge in inside["edge_graph"]] == [set(then[1:3])]
    sub = box.call("GET", f"node/{whole}/subgraph", bounds="0-16_0-8_0-8")
    assert sub == {"nodes": [SV[:2]], "affinities": [None], "areas": [0]}

    # an expired part has no root now, but it had one, and its supervoxels
    assert box.client.get(f"{box.path}/node/{then[1]}/root").status_code == 404
    at = seconds(START + 2 * SECOND)
    assert box.call("GET", f"node/{then[1]}/root", timestamp=at) == {"root_id": whole}
    assert box.call("GET", f"node/{then[1]}/leaves") == {"leaf_ids": [SV[1]]}
    assert box.client.get(f"{box.path}/node/{then[1] + 77}/leaves").status_code == 404
    early = seconds(START + 2 * SECOND - MS)
    valid = box.call("GET", "valid_nodes", {"node_ids": [*then, 5]}, end_timestamp=early)
    assert valid == {"valid_roots": sorted({then[0], then[1]})}

    ends = [[c_d, 175.0, 40, 80], [c_d, 315.0, 40, 80]]
    found = box.call("POST", "graph/find_path", ends, precision_mode="False")
    assert found["l2_path"] == parts[2:]
    assert found["centroids_list"] == [[200.0, 40.0, 80.0], [280.0, 40.0, 80.0]]
    ends[1] = [a_b, 5.0, 40, 80]
    path = f"{box.path}/graph/find_path"
    assert box.client.post(path, data=json.dumps(ends)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"node/{2**63}/root", None),
        ("GET", f"node/{2**80}/leaves", None),
        ("GET", f"node/{2**80}/lvl2_graph", None),
        ("GET", f"root/{2**64}/change_log", None),
        ("GET", f"node/{SV[0]}/leaves?bounds=1-2_3-4", None),
        ("GET", f"node/{SV[0]}/leaves?bounds={10**30}-2_3-4_5-6", None),
        ("GET", f"node/{SV[0]}/leaves?stop_layer=two", None),
        ("GET", f"user_operations?user_id={2**64}", None),
        ("POST", "node/leaves_many", {"node_ids": [2**63]}),
        ("POST", "minimal_covering_nodes", {"node_ids": "all"}),
        ("POST", "graph/find_path", [[SV[0], 1, 1, 1]]),
        ("POST", "graph/find_path", [[SV[0], 1, 1, 1], [SV[2], 1, 1, 1]]),
        (
            "POST",
            "graph/split_preview",
            {"sources": [[SV[0], 1, 1, 1]], "sinks": [[SV[2], 1, 1, 1]]},
        ),
    ],
)
def test_nonsense_is_refused(box: Box, method: str, path: str, body: Any) -> None:
    data = None if body is None else json.dumps(body)
    answer = box.client.open(f"{box.path}/{path}", method=method, data=data)
    assert answer.status_code == 400, answer.text
    assert set(answer.json or {}) >= {"code", "message", "hint"}


def test_who_may(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at a graph and its voxels one needs the datastack's view right, to edit its edit."""
    stack = f"stack_{box.name}"
    reads = (f"{box.path}/node/{SV[0]}/root", f"/segmentation/volume/{box.name}/info")
    edit = json.dumps([[SV[1], 0, 0, 0], [SV[1], 0, 0, 0]])  # refused anyway, but later
    for rights, read, write in (
        (set(), 403, 403),
        ({"view"}, 200, 403),
        ({"edit", "view"}, 200, 400),
    ):
        user = User(7, "ada", datastacks={stack: frozenset(rights)})
        monkeypatch.setattr("matengine.api.graphs.current_user", lambda user=user: user)
        assert [box.client.get(path, buffered=True).status_code for path in reads] == [read] * 2
        assert box.client.get(f"/segmentation/table/{box.name}/info").status_code == read
        assert box.client.post(f"{box.path}/merge", data=edit).status_code == write
        undo = box.client.post(f"{box.path}/undo", data='{"operation_id": 99}')
        assert undo.status_code == (write if write == 403 else 404)
