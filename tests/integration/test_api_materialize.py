"""Versions, tables and queries over HTTP."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from story import CELLS, Story, story

from matengine.api.app import create_app
from matengine.engine.versions import labels
from matengine.storage import pools

CLIENT_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


@dataclass
class Api:
    """The story served by the application."""

    story: Story
    client: FlaskClient

    @property
    def synapses(self) -> str:
        return self.story.pair.table

    @property
    def notes(self) -> str:
        return self.story.pair.notes

    def path(self, rest: str, api: str = "v3") -> str:
        return f"/materialize/api/{api}/datastack/{self.story.pair.name}/{rest}"

    def get(self, rest: str, api: str = "v3", code: int = 200) -> Any:
        answer = self.client.get(self.path(rest, api))
        assert answer.status_code == code, answer.text
        if code != 200:
            assert set(answer.json or {}) == {"code", "message", "hint"}
        return answer.json


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        pytest.MonkeyPatch.context() as patch,
        story(server_url, tmp_path_factory.mktemp("volume")) as told,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        labels.name(told.conn, told.pair.name, 1, "v1.0 µ")
        told.conn.commit()
        yield Api(told, create_app().test_client())
        pools.close_all()


# ── versions and tables ──────────────────────────────────────────────────────


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
