"""A real server: CAVEclient asks it, in a new process each time; and others who read badly."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
import requests
from processes import until
from served import Served, run_client, server_process
from small_world import START
from story import CELLS, Story, story

from matengine.engine import datastacks
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.segmentation.chunkedgraph import local

SEND_TIMEOUT_S = 2


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story(server_url, tmp_path_factory.mktemp("volume")) as found:
        yield found


@pytest.fixture(scope="module")
def server(told: Story, server_url: str) -> Iterator[Served]:
    environment = {
        "MATENGINE_DATABASE_URL": server_url,
        "MATENGINE_SEND_TIMEOUT": str(SEND_TIMEOUT_S),
    }
    with server_process(environment) as url:
        name = told.pair.name
        yield Served(url, name, told.conn.info.dbname, name, Path(told.pair.volume))


SETTING = """
from datetime import datetime, timezone

S, N, C = {synapses!r}, {notes!r}, {cells!r}
m = client.materialize
found = {{}}

def ids(frame, column="id"):
    assert frame[column].dtype == "int64", frame.dtypes
    return frame[column].tolist()

def q(**how):
    return m.query_table(S, materialization_version=1, **how)
"""


def run(told: Story, server: Served, code: str) -> Any:
    setting = SETTING.format(synapses=told.pair.table, notes=told.pair.notes, cells=CELLS)
    return run_client(server, setting + code)


def test_versions_and_tables(told: Story, server: Served) -> None:
    """Also those of a datastack that has no version."""
    fresh = f"{told.pair.name}_fresh"
    local.create(told.conn, fresh, start=START)
    datastacks.create(told.conn, fresh, datastacks.Segmentation(fresh))
    told.conn.commit()
    found = run(
        told,
        server,
        """
import pandas as pd
found["versions"] = m.get_versions(), m.get_versions(expired=True), int(m.version)
found["stamps"] = [m.get_timestamp(v).isoformat() for v in (1, 2)]
found["listed"] = [[v["version"], v["time_stamp"].isoformat()] for v in m.get_versions_metadata()]
found["tables"] = m.get_tables(version=1)
found["count"] = m.get_annotation_count(S, version=1), m.get_annotation_count(N)
found["resolution"] = m.get_table_metadata(S)["voxel_resolution"]
found["reference"] = m.get_table_metadata(N)["reference_table"]
found["managed"] = sorted(m.tables.table_names)
found["texts"] = m.get_unique_string_values(C)
fresh = CAVEclient(client.datastack_name + "_fresh", server_address=client.server_address)
found["fresh"] = fresh.materialize.get_versions(), int(fresh.materialize.version)
found["fresh tables"] = fresh.materialize.get_tables()
found["fresh rows"] = ids(fresh.materialize.live_live_query(N, datetime.now(timezone.utc)))
found["pinned"] = CAVEclient(
    client.datastack_name, server_address=client.server_address, version=1
).materialize.get_tables()
tell(found)
""",
    )
    names = sorted([CELLS, told.pair.notes, told.pair.table])
    times = [at.isoformat() for at, _ in told.pair.versions.values()]
    assert found == {
        "versions": [[1, 2], [1, 2], 2],
        "stamps": times,
        "listed": [[1, times[0]], [2, times[1]]],
        "tables": names,
        "count": [6, 1],
        "resolution": [1, 1, 1],
        "reference": told.pair.table,
        "managed": names,
        "texts": {"cell_type": ["5P-IT", "MC"], "classification_system": ["", "µ"]},
        "fresh": [[0], 0],
        "fresh tables": names,
        "fresh rows": [1],
        "pinned": names,
    }


def test_rows(told: Story, server: Served) -> None:
    """Every filter and option that the client has for one table."""
    expected = answer.ask(told.conn, told.pair.name, 1, Query(told.pair.table)).to_pydict()
    root = expected["post_pt_root_id"][0]
    found = run(
        told,
        server,
        f"ROOT = {root}"
        """
whole = q(split_positions=True)
found["whole"] = whole.drop(columns=["created", "size"])
found["attrs"] = whole.attrs["dataframe_resolution"]
found["points"] = [list(p) for p in q()["pre_pt_position"]]
found["in"] = ids(q(filter_in_dict={"id": [1, 3, 77]}))
found["out"] = ids(q(filter_out_dict={"id": [1, 3]}))
found["equal"] = ids(q(filter_equal_dict={"post_pt_root_id": ROOT}))
found["greater"] = ids(q(filter_greater_dict={"size": 4.5}))
found["less"] = ids(q(filter_less_dict={"size": 4.5}))
found["greater equal"] = ids(q(filter_greater_equal_dict={"size": 4.5}))
found["less equal"] = ids(q(filter_less_equal_dict={"size": 4.5}))
found["box"] = ids(q(filter_spatial_dict={"pre_pt_position": [[1, 1, 1], [3, 1, 1]]}))
found["regex"] = ids(m.query_table(C, filter_regex_dict={"cell_type": "^5P"}))
found["one column"] = q(select_columns=["size"]).columns.tolist()
found["roots"] = q(select_columns=["pre_pt_root_id"]).columns.tolist()
scaled = q(desired_resolution=[3, 0.5, 1], select_columns=["ctr_pt_position"], limit=1)
found["scaled"] = list(scaled["ctr_pt_position"][0]), scaled.attrs["dataframe_resolution"]
found["page"] = ids(q(limit=2, offset=3))
found["counts"] = q(filter_less_dict={"id": 4}, get_counts=True)["count"].tolist()
found["sample"] = len(q(random_sample=3))
found["json"] = [row["id"] for row in q(return_df=False)]
found["none"] = len(q(filter_in_dict={"id": []}))
found["synapses"] = ids(m.synapse_query(
    post_ids=ROOT, synapse_table=S, materialization_version=1, remove_autapses=False))
tell(found)
""",
    )
    ids, sizes = expected["id"], expected["size"]
    hidden = {"created", "size"}
    whole = [
        {name: column[row] for name, column in expected.items() if name not in hidden}
        for row in range(len(ids))
    ]
    of_root = [i for i, r in zip(ids, expected["post_pt_root_id"], strict=True) if r == root]
    by_size = dict(zip(ids, sizes, strict=True))
    assert found == {
        "whole": whole,
        "attrs": [1, 1, 1],
        "points": [[x, 1.0, 1.0] for x in range(1, 7)],
        "in": [1, 3],
        "out": [2, 4, 5, 6],
        "equal": of_root,
        "greater": [i for i, s in by_size.items() if s is not None and s > 4.5],
        "less": [i for i, s in by_size.items() if s is not None and s < 4.5],
        "greater equal": [i for i, s in by_size.items() if s is not None and s >= 4.5],
        "less equal": [i for i, s in by_size.items() if s is not None and s <= 4.5],
        "box": [1, 2, 3],
        "regex": [1],
        "one column": ["size"],
        "roots": ["pre_pt_supervoxel_id", "pre_pt_root_id"],
        "scaled": [[1 / 3, 4, 2], [3, 0.5, 1]],
        "page": [4, 5],
        "counts": [3],
        "sample": 3,
        "json": ids,
        "none": 0,
        "synapses": of_root,
    }


def test_joins_times_and_the_table_manager(told: Story, server: Served) -> None:
    before, after = (
        answer.ask(told.conn, told.pair.name, v, Query(told.pair.table)).to_pydict() for v in (1, 2)
    )
    root = before["pre_pt_root_id"][0]
    found = run(
        told,
        server,
        f"ROOT = {root}"
        """
import requests

note = m.query_table(N, materialization_version=1)
found["reference"] = ids(note), ids(note, "id_ref"), note["size"].tolist()
found["counted"] = m.query_table(N, materialization_version=1, get_counts=True)["count"].tolist()
joined = m.join_query([[N, "target_id"], [S, "id"]], materialization_version=1,
    suffixes={N: "_n", S: ""}, select_columns={N: ["id"], S: ["id", "pre_pt_position"]})
found["joined"] = ids(joined, "id_n"), ids(joined), list(joined["pre_pt_position"][0])
times = [m.get_timestamp(v) for v in (1, 2)]
found["times"] = [ids(m.live_live_query(S, at)) for at in times]
found["live roots"] = [ids(m.live_live_query(S, at), "pre_pt_root_id") for at in times]
found["live some"] = ids(m.live_live_query(S, times[0], select_columns={S: ["id"]}, limit=2))
live = m.live_live_query(N, times[0], joins=[[N, "target_id", S, "id"]],
    suffixes={N: "_ref", S: ""}, filter_equal_dict={S: {"pre_pt_root_id": ROOT}})
found["live joined"] = ids(live), ids(live, "id_ref")
found["client live"] = ids(m.query_table(S, timestamp=times[0]))
now = datetime.now(timezone.utc)
found["client now"] = ids(m.query_table(S, timestamp=now), "pre_pt_root_id")
found["now"] = ids(m.live_live_query(S, now))
table = m.tables[S]
found["manager"] = ids(table(pre_pt_root_id=ROOT).query(materialization_version=1))
found["manager box"] = ids(
    table(pre_pt_position_bbox=[[2, 1, 1], [3, 1, 1]]).query(materialization_version=1))
found["manager notes"] = ids(m.tables[N]().query(materialization_version=1))
found["manager live"] = ids(table(pre_pt_root_id=ROOT).live_query(times[0]))
found["manager notes live"] = ids(m.tables[N]().live_query(times[1]))
found["errors"] = []
for wrong in (
    lambda: m.query_table("nothing", merge_reference=False),
    lambda: m.query_table(S, materialization_version=9, merge_reference=False),
    lambda: q(filter_in_dict={"idd": [1]}),
    lambda: q(select_columns=["sise"]),
    lambda: q(filter_regex_dict={"size": "("}),
):
    try:
        wrong()
    except requests.HTTPError as error:
        found["errors"].append(error.response.status_code)
tell(found)
""",
    )
    of_root = [i for i, r in zip(before["id"], before["pre_pt_root_id"], strict=True) if r == root]
    assert found == {
        "reference": [[1], [1], [1.5]],
        "counted": [1],
        "joined": [[1], [1], [1.0, 1.0, 1.0]],
        "times": [before["id"], after["id"]],
        "live roots": [before["pre_pt_root_id"], after["pre_pt_root_id"]],
        "live some": [1, 2],
        "live joined": [[1], [1]],
        "client live": before["id"],
        "client now": after["pre_pt_root_id"],  # it looks for new roots, not for new rows
        "now": [1, 5, 6, 7, 8],
        "manager": of_root,
        "manager box": [2, 3],
        "manager notes": [1],
        "manager live": of_root,
        "manager notes live": [1],
        "errors": [404, 404, 404, 404, 400],
    }


# ── the server process: long answers, and who does not read them ─────────────

LONG_ROWS = 400_000


@pytest.fixture(scope="module")
def long_table(told: Story) -> str:
    """The path of a query of version 2 whose answer has about 120 MB."""
    history = told.history_of(CELLS)
    told.conn.execute(f"ALTER TABLE {history} DISABLE TRIGGER USER")
    told.conn.execute(
        f"INSERT INTO {history} (id, created, from_epoch, cell_type)"  # noqa: S608
        " SELECT g, now(), 2, repeat('x', 250) || g FROM generate_series(1000, %s) AS g",
        (999 + LONG_ROWS,),
    )
    told.conn.execute(f"ALTER TABLE {history} ENABLE TRIGGER USER")
    told.conn.commit()
    return f"/materialize/api/v3/datastack/{told.pair.name}/version/2/table/{CELLS}/query"


def reading(told: Story) -> list[int]:
    """The database's processes that send rows of answers just now."""
    found = told.conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'active' AND query LIKE 'COPY%' AND pid <> pg_backend_pid()"
    ).fetchall()
    told.conn.rollback()
    return [pid for (pid,) in found]


def begin(server: Served, path: str) -> socket.socket:
    """Ask for an uncompressed answer, and read only how it begins."""
    address = urlsplit(server.url)
    assert address.hostname
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asking.settimeout(60)
    asking.connect((address.hostname, address.port))
    asking.sendall(f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    assert b"200 OK" in asking.recv(1000)
    return asking


def memory_mb(pid: int, what: str) -> float:
    """VmRSS, or VmHWM (the highest since it was reset), of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if what in line)) / 1024


def workers() -> list[int]:
    """The worker of the server that this process started."""
    (server,) = _children(os.getpid(), "gunicorn")
    return _children(server, "gunicorn")


def _children(pid: int, word: str) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return [c for c in found if word in Path(f"/proc/{c}/cmdline").read_text()]


def test_memory_does_not_grow_with_the_answer(server: Served, long_table: str) -> None:
    (worker,) = workers()
    url = server.url + long_table
    requests.post(f"{url}?count=true", timeout=60)
    before = memory_mb(worker, "VmRSS")
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    rows = size = 0
    with requests.post(url, stream=True, timeout=60, headers={"Accept-Encoding": "zstd"}) as found:
        for batch in pa.ipc.open_stream(found.raw):
            rows, size = rows + batch.num_rows, size + batch.nbytes
    assert rows == LONG_ROWS + 2
    assert size > 115_000_000
    assert memory_mb(worker, "VmHWM") - before < 85


def test_who_stops_reading_is_cut_off(told: Story, server: Served, long_table: str) -> None:
    with begin(server, long_table):
        assert reading(told)
        until(lambda: not reading(told), "the answer is given up")


def test_who_goes_away_frees_the_connection(told: Story, server: Served, long_table: str) -> None:
    asking = [begin(server, long_table) for _ in range(3)]
    assert len(reading(told)) == 3
    for one in asking:
        one.close()
    until(lambda: not reading(told), "the answers are given up")
    assert requests.get(f"{server.url}/health/ready", timeout=60).status_code == 200


def test_an_answer_that_breaks_off_is_seen_to(told: Story, server: Served, long_table: str) -> None:
    url = server.url + long_table
    with requests.post(url, stream=True, timeout=60) as found:
        assert found.status_code == 200
        (pid,) = reading(told)
        told.conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
        told.conn.rollback()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            assert found.content
    assert requests.post(f"{url}?count=true", timeout=60).status_code == 200
