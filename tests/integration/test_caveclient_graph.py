"""CAVEclient's chunkedgraph client, unmodified: each method that a server without meshes serves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caveclient.auth import AuthClient
from caveclient.chunkedgraph import ChunkedGraphClient
from four_supervoxels import MS, NM, SECOND, START, SV, Box, served_box
from listening import listening
from requests import HTTPError


@pytest.fixture
def fresh(av: Any, tmp_path: Path) -> Iterator[Box]:
    with served_box(av.name, tmp_path) as made:
        yield made


def test_caveclient(fresh: Box) -> None:
    """Each method of the client that a server without meshes can serve."""
    with listening(fresh.client.application) as url:
        client = ChunkedGraphClient(url, fresh.name, AuthClient(token=None, server_address=url))
        _ask_everything(client, fresh)


def _ask_everything(client: ChunkedGraphClient, box: Box) -> None:
    whole, (a_b, _, _, c_d) = box.roots[2][0], box.roots[3]
    then, now = START + 2 * SECOND, datetime.now(UTC)
    assert client.base_resolution == list(NM)
    assert client.get_oldest_timestamp() == START
    assert client.get_roots(SV).tolist() == box.roots[3]
    assert client.get_roots(SV, timestamp=then).tolist() == box.roots[2]
    assert client.get_root_id(SV[0]) == a_b
    level2 = [int(client.get_root_id(s, level2=True)) for s in SV]
    assert client.get_roots(SV, stop_layer=2).tolist() == level2
    assert client.get_roots(level2).tolist() == box.roots[3]
    assert client.get_leaves(whole).tolist() == SV
    assert client.get_leaves(a_b, stop_layer=2).tolist() == level2[:2]
    box_of_b = np.array([[8, 16], [0, 8], [0, 8]])
    assert client.get_leaves(whole, bounds=box_of_b).tolist() == [SV[1]]
    many = client.get_leaves_many([a_b, level2[2]], bounds=box_of_b)
    assert {k: v.tolist() for k, v in many.items()} == {a_b: [SV[1]], level2[2]: []}
    assert client.get_children(a_b).tolist() == level2[:2]
    assert client.get_minimal_covering_nodes([*SV[:3]]).tolist() == [a_b, level2[2]]
    assert client.level2_chunk_graph(a_b) == [sorted(level2[:2])]
    assert client.level2_chunk_graph(a_b, bounds=box_of_b) == []
    assert client.get_subgraph(a_b, None)[0].tolist() == [SV[:2]]
    assert (
        client.find_path(c_d, np.array([175, 40, 80]), np.array([315, 40, 80]))[1].tolist()
        == (level2[2:])
    )

    assert client.is_latest_roots([a_b, whole]).tolist() == [True, False]
    assert client.is_latest_roots([a_b, whole], timestamp=then).tolist() == [False, True]
    assert (
        client.is_valid_nodes([a_b, level2[0], SV[0], 5, -1]).tolist() == [True] * 3 + [False] * 2
    )
    assert client.get_root_timestamps([whole])[0] == then
    last = client.get_root_timestamps([whole], latest=True, timestamp=now)
    assert last[0] == START + 3 * SECOND - MS
    assert set(client.get_latest_roots(box.roots[0][3])) == {a_b, c_d}
    assert set(client.get_original_roots(c_d)) == set(box.roots[0])
    assert len(client.get_lineage_graph([a_b, c_d], as_nx_graph=True)) == 7
    old, new = client.get_delta_roots(then + MS, now)
    assert (old.tolist(), sorted(new)) == ([whole], sorted({a_b, c_d}))
    assert client.get_past_ids([a_b], then, now)["past_id_map"] == {a_b: [whole]}
    best, share = client.suggest_latest_roots(whole, return_all=True, return_fraction_overlap=True)
    assert (set(best.tolist()), share.tolist()) == ({a_b, c_d}, [0.5, 0.5])

    assert client.get_change_log(a_b)["operations_ids"] == [1, 3]
    assert client.get_change_log(a_b, filtered=False)["operations_ids"] == [1, 2, 3]
    log = client.get_tabular_change_log([a_b])[a_b]
    assert log["after_root_ids"].tolist() == [[box.roots[1][0]], [a_b]]
    assert log["is_merge"].tolist() == [True, False]
    assert client.get_merge_log(a_b)["merge_edges"] == [[SV[1], SV[2]], [SV[2], SV[3]]]
    assert client.get_user_operations(0, START)["operation_id"].tolist() == [1, 2, 3]
    assert set(client.get_operation_details([1, 2])) == {"1", "2"}

    points = [[0, 0, 0]], [[0, 0, 0]], a_b, [SV[0]], [SV[1]]
    assert client.preview_split(*points) == ([SV[0]], [SV[1]], True)
    number, parted = client.execute_split(*points)
    assert (number, len(parted)) == (4, 2)
    again = client.undo_operation(4)["new_root_ids"]
    assert client.get_user_operations(1, START)["operation_id"].tolist() == [4, 5]
    assert client.get_user_operations(0, START, include_undo=False).shape == (4, 3)
    done = client.do_merge([SV[1], SV[2]], [[1, 1, 1], [2, 1, 1]], resolution=NM)
    assert client.get_leaves(done["new_root_ids"][0]).tolist() == SV
    for refused in (
        lambda: client.do_merge(SV[:2], np.zeros((2, 3))),  # one object
        lambda: client.execute_split([[0] * 3], [[0] * 3], again[0], [SV[0]], [SV[0]]),
    ):
        with pytest.raises(HTTPError, match="400"):
            refused()
    assert client.get_user_operations(0, START)["operation_id"].max() == 6
