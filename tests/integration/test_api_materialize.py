"""Versions and tables over HTTP; errors, and who may see what."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from asking import Api, ask, rows_of, served_story
from small_world import START
from story import CELLS

from matengine.api.materialize import answers, paths
from matengine.api.materialize import tables as materialize_tables
from matengine.engine import datastacks
from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.versions import dropping, garbage
from matengine.segmentation.chunkedgraph import local

CLIENT_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served_story(server_url, tmp_path_factory.mktemp("volume")) as served:
        yield served


def test_which_service_this_is(api: Api) -> None:
    assert api.client.get("/materialize/api/versions").json == [2, 3]
    told = api.client.get("/materialize/version").json
    assert told is not None
    assert re.fullmatch(r"5\.26\.4\+matengine\.[\d.]+", told)
    assert api.client.get("/materialize/").status_code == 200
    assert api.client.get("/materialize").status_code == 200


@pytest.mark.parametrize("interface", ["v2", "v3"])
def test_versions(api: Api, interface: str) -> None:
    assert api.get("versions", interface) == [1, 2]
    every = api.get("metadata", interface)
    assert [v["version"] for v in every] == [1, 2]
    assert every[0] == api.get("version/1", interface)
    assert (
        every[0].items()
        >= {
            "datastack": api.story.pair.name,
            "status": "AVAILABLE",
            "valid": True,
            "expires_on": None,
            "is_merged": True,
            "name": "v1.0 µ",
        }.items()
    )
    for version in every:
        assert CLIENT_TIME.fullmatch(version["time_stamp"])
        at, _ = api.story.pair.versions[version["version"]]
        assert version["time_stamp"] == at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    for other in ("-1", "newest", "2"):
        assert api.get(f"version/{other}", interface) == every[1]
    assert api.get("version/v1.0 µ", interface) == every[0]
    assert api.get("version/0", interface)["version"] == 0
    assert "There are: 1, 2" in api.get("version/9", interface, 404)["hint"]
    api.get("version/v1.1", interface, 404)


@pytest.mark.parametrize("interface", ["v2", "v3"])
def test_tables(api: Api, interface: str) -> None:
    names = sorted([CELLS, api.notes, api.synapses])
    for version in ("1", "2", "v1.0 µ", "-1", "0"):
        assert api.get(f"version/{version}/tables", interface) == names
        every = api.get(f"version/{version}/tables/metadata", interface)
        assert [t["table_name"] for t in every] == names
        for table in every:
            one = f"version/{version}/table/{table['table_name']}/metadata"
            assert api.get(one, interface) == table
            assert CLIENT_TIME.fullmatch(table["created"])
            assert table["aligned_volume"] == api.story.conn.info.dbname
            assert [table[f"voxel_resolution_{axis}"] for axis in "xyz"] == [1, 1, 1]
    synapse = api.get(f"version/1/table/{api.synapses}/metadata", interface)
    assert synapse["pcg_table_name"] == api.story.pair.name
    assert synapse["last_updated"] == api.get("version/1")["time_stamp"]
    note = api.get(f"version/1/table/{api.notes}/metadata", interface)
    assert note["reference_table"] == api.synapses
    assert "last_updated" not in note
    assert api.get(f"version/1/table/{api.synapses}/count", interface) == 6
    assert api.get(f"version/2/table/{api.synapses}/count", interface) == 6
    assert api.get(f"version/0/table/{api.synapses}/count", interface) == 5
    hint = api.get(f"version/1/table/{api.synapses}x/metadata", interface, 404)["hint"]
    assert hint == f"Did you mean '{api.synapses}'?"
    api.get("version/9/tables", interface, 404)


def test_texts_of_a_table(api: Api) -> None:
    assert api.get(f"table/{CELLS}/unique_string_values") == {
        "cell_type": ["5P-IT", "MC"],
        "classification_system": ["", "µ"],
    }
    assert api.get(f"table/{api.notes}/unique_string_values") == {}
    api.get("table/none/unique_string_values", code=404)


def test_notices_are_told(api: Api) -> None:
    tables.update_metadata(api.story.conn, CELLS, notice_text="Being\r\nrevised: µ\n" + "x" * 5000)
    api.story.conn.commit()
    try:
        for found in (
            ask(api, f"version/1/table/{CELLS}/query"),
            api.client.get(api.path(f"version/1/table/{CELLS}/metadata")),
        ):
            said = found.headers["Warning"]
            assert "Being revised: \\xb5 xxx" in said
            assert len(said) < 1100
        assert "Warning" not in ask(api, f"version/1/table/{api.synapses}/query").headers
    finally:
        tables.update_metadata(api.story.conn, CELLS, notice_text=None)
        api.story.conn.commit()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"filter_eqal_dict": {}}, "Did you mean 'filter_equal_dict'?"),
        ({"limit": -1}, "limit"),
        ({"limit": "few"}, "limit"),
        ({"offset": 1.5}, "offset"),
        ({"desired_resolution": [1, 1]}, "desired_resolution"),
        ({"desired_resolution": [1, 0, 1]}, "desired_resolution"),
        ({"filter_in_dict": [1]}, "filter_in_dict"),
        ({"filter_in_dict": {"SYNAPSES": {"id": 5}}}, "list"),
        ({"filter_in_dict": {"SYNAPSES": {"idd": [5]}}}, "Did you mean 'id'?"),
        ({"filter_equal_dict": {"SYNAPSES": {"id": None}}}, "NULL"),
        ({"filter_equal_dict": {"elsewhere": {"id": 5}}}, "elsewhere"),
        ({"filter_spatial_dict": {"SYNAPSES": {"pre_pt_position": [[1, 1, 1]]}}}, "box"),
        ({"select_columns": ["sise"]}, "Did you mean 'size'?"),
        ({"select_columns": ["id"], "select_column_map": {"SYNAPSES": ["id"]}}, "both"),
        ({"suffixes": ["", "a", "b"]}, "suffixes"),
        ([], "JSON object"),
        ("nonsense", "JSON object"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(api: Api, body: Any, said: str) -> None:
    text = orjson.dumps(body).replace(b"SYNAPSES", api.synapses.encode())
    path = api.path(f"version/1/table/{api.synapses}/query")
    found = api.client.post(path, data=text)
    assert found.status_code in (400, 404), found.text
    assert found.json is not None
    assert said in f"{found.json['message']} {found.json['hint']}"


def test_statuses(api: Api) -> None:
    s = api.synapses
    assert api.client.post(api.path(f"version/1/table/{s}/query"), data="{").status_code == 400
    assert api.client.post(api.path(f"version/1/table/{s}/query")).status_code == 200
    assert api.client.get(api.path(f"version/1/table/{s}/query")).status_code == 405
    ask(api, "version/9/table/x/query", code=404)
    ask(api, f"version/1/table/{s}x/query", code=404)
    ask(api, "version/1/query", {"tables": []}, code=400)
    ask(api, "version/1/query", {"tables": [["a"]]}, code=400)
    ask(api, "version/1/query", {"tables": [[s, "id"], [s, "id"]]}, code=400)
    ask(api, f"version/1/table/{s}/query", random_sample=0, code=400)
    ask(api, f"version/1/table/{s}/query", count="perhaps", code=400)
    # parameters that mean nothing here do no harm
    ask(api, f"version/1/table/{s}/query", merge_reference="False", name="x", arrow_format="?")
    # no text with a NUL comes to the database
    api.get("version/0/table/a%00b/metadata", code=400)
    api.get("version/a%00b", code=400)
    ask(api, "version/1/query", {"tables": [["a\0b", "id"]]}, code=400)
    ask(api, "query", {"table": "a\0b", "timestamp": "2026-01-01"}, code=400)
    other = api.client.get("/materialize/api/v3/datastack/nowhere/versions")
    assert other.status_code == 404
    assert api.client.get("/materialize/api/v4/datastack/nowhere/versions").status_code == 404


def test_private_tables_are_out_of_reach(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    n, s = api.notes, api.synapses
    name = api.story.pair.name
    stranger = User(7, "stranger", datastacks={name: frozenset({"view"})})
    for module in (answers, paths, materialize_tables):
        monkeypatch.setattr(module, "current_user", lambda: stranger)
    tables.update_metadata(api.story.conn, s, read_permission="PRIVATE", user_id="3")
    api.story.conn.commit()
    try:
        assert s not in api.get("version/1/tables")
        assert s not in [t["table_name"] for t in api.get("version/1/tables/metadata")]
        for rest in ("metadata", "count"):
            api.get(f"version/1/table/{s}/{rest}", code=403)
        api.get(f"table/{s}/unique_string_values", code=403)
        assert ask(api, f"version/1/table/{n}/query").status_code == 200
        ask(api, f"version/1/table/{s}/query", code=403)
        ask(api, f"version/1/table/{s}/query", count=True, code=403)
        ask(api, "version/1/query", {"tables": [[n, "target_id"], [s, "id"]]}, code=403)
        at, _ = api.story.pair.versions[1]
        ask(api, "query", {"table": s, "timestamp": at.isoformat()}, code=403)
        tag = {"If-None-Match": "*"}
        ask(api, f"version/1/table/{s}/query", headers=tag, code=403)
        stranger = User(7, "stranger")
        for rest in ("versions", "metadata", "version/1", "version/1/tables"):
            api.get(rest, code=403)
    finally:
        tables.update_metadata(api.story.conn, s, read_permission="PUBLIC", user_id="")
        api.story.conn.commit()


def test_versions_that_are_not_there(api: Api) -> None:
    """Last, because it drops a version: expired, and a datastack without any."""
    conn, name = api.story.conn, api.story.pair.name
    dropping.drop(conn, name, 1)
    conn.commit()
    assert api.get("versions") == [2]
    assert api.get("versions?expired=True") == [1, 2]
    assert [v["status"] for v in api.get("metadata?expired=1")] == ["EXPIRED", "AVAILABLE"]
    expired = api.get("version/1")
    assert not expired["valid"]
    assert CLIENT_TIME.fullmatch(expired["time_stamp"])
    assert api.get("version/1/tables") == api.get("version/2/tables")
    told = api.client.post(
        f"/materialize/api/v3/datastack/{name}/version/1/table/{api.synapses}/query"
    )
    assert rows_of(told).column("id").to_pylist() == [1, 2, 3, 4, 5, 6]
    assert "has expired" in told.headers["Warning"]
    garbage.collect(conn, name)
    api.get("version/1/tables", code=410)
    ask(api, f"version/1/table/{api.synapses}/query", code=410)
    fresh = f"{name}_fresh"
    local.create(conn, fresh, start=START)
    datastacks.create(conn, fresh, datastacks.Segmentation(fresh))
    conn.commit()
    path = f"/materialize/api/v3/datastack/{fresh}"
    assert api.client.get(f"{path}/versions").json == [0]
    (present,) = api.client.get(f"{path}/metadata").json or []
    assert CLIENT_TIME.fullmatch(present["time_stamp"])
    assert len(api.client.get(f"{path}/version/0/tables").json or []) == 3
    rows = rows_of(api.client.post(f"{path}/version/0/table/{api.notes}/query"))
    assert rows.column("target_id").to_pylist() == [1]
