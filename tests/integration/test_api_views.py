"""Views over HTTP: made, listed, asked at versions and now, dropped."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from story import CELLS, Story, story

from matengine.api.app import create_app
from matengine.api.materialize import limits
from matengine.engine.versions import dropping, garbage
from matengine.storage import pools


@dataclass
class Api:
    story: Story
    client: FlaskClient

    def call(self, method: str, rest: str, body: Any = None, code: int = 200) -> Any:
        path = f"/materialize/api/v3/datastack/{self.story.pair.name}/{rest}"
        answer = self.client.open(path, method=method, json=body)
        assert answer.status_code == code, answer.text
        return answer.json

    def rows(self, version: int, view: str, **body: Any) -> list[dict[str, Any]]:
        rest = f"version/{version}/views/{view}/query?return_pyarrow=false"
        return self.call("POST", rest, body)


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        story(server_url, tmp_path_factory.mktemp("volume")) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        yield Api(made, create_app().test_client())
        pools.close_all()


def inputs(api: Api) -> dict[str, Any]:
    return {
        "description": "how many synapses a neuron gets",
        "definition": {
            "table": api.story.pair.table,
            "columns": [
                {"name": "root", "column": "post_pt_root_id"},
                {"name": "n", "aggregate": "count"},
            ],
        },
    }


def test_life_of_a_view(api: Api) -> None:
    assert api.call("GET", "version/1/views") == {}
    assert api.call("GET", "version/1/views/schemas") == {}
    assert api.call("PUT", "views/inputs", inputs(api), 201)["table_name"] == "inputs"
    api.call("PUT", "views/inputs", inputs(api), 409)
    told = api.call("GET", "version/1/views")["inputs"]
    assert told["description"] == "how many synapses a neuron gets"
    assert told["live_compatible"] is True
    assert told["datastack_name"] == api.story.pair.name
    assert api.call("GET", "version/1/views/inputs/metadata")["table_name"] == "inputs"
    schema = {"root": {"type": "integer"}, "n": {"type": "integer"}}
    assert api.call("GET", "version/1/views/schemas") == {"inputs": schema}
    assert api.call("GET", "version/1/views/inputs/schema") == schema
    for version in (0, 1, -1):
        path = f"version/{version}/table/{api.story.pair.table}/query?return_pyarrow=false"
        rows = api.call("POST", path, {})
        found = {row["root"]: row["n"] for row in api.rows(version, "inputs")}
        assert sum(found.values()) == len(rows)
        assert found == {
            root: sum(row["post_pt_root_id"] == root for row in rows) for root in found
        }
        root = next(iter(found))
        some = api.rows(version, "inputs", filter_in_dict={"inputs": {"root": [root]}})
        assert some == [{"root": root, "n": found[root]}]
    api.call("DELETE", "views/inputs")
    api.call("GET", "version/1/views/inputs/metadata", code=404)
    api.call("POST", "version/1/views/inputs/query", {}, code=404)


def test_positions_of_a_view(api: Api) -> None:
    definition = {"table": CELLS, "columns": [{"name": "soma", "column": "pt_position"}]}
    api.call("PUT", "views/somata", {"definition": definition}, 201)
    assert api.call("GET", "version/1/views/somata/schema") == {"soma": {"type": "SpatialPoint"}}
    path = f"/materialize/api/v3/datastack/{api.story.pair.name}/version/1/views/somata/query"
    answer = api.client.post(path, json={"desired_resolution": [1, 1, 1]})
    assert answer.headers["dataframe_resolution"] == "1.0, 1.0, 1.0"
    found = pa.ipc.open_stream(answer.data).read_all()
    assert found.column_names == ["soma_x", "soma_y", "soma_z"]
    assert found.num_rows
    api.call("DELETE", "views/somata")


def test_a_view_that_takes_too_long_is_ended(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By PostgreSQL; here its table is kept locked."""
    api.call("PUT", "views/inputs", inputs(api), 201)
    monkeypatch.setattr(limits, "ANSWER_S", 0.2)
    with api.story.connect() as conn:
        conn.execute(f"LOCK TABLE {api.story.history} IN ACCESS EXCLUSIVE MODE")
        told = api.call("POST", "version/1/views/inputs/query?return_pyarrow=false", {}, 400)
        assert "was still running after 0.2 s" in told["message"]
        assert told["hint"].startswith("Ask for less")
        conn.rollback()
    assert api.rows(1, "inputs")
    api.call("DELETE", "views/inputs")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 400),
        ({"definition": {}}, 400),
        ({"definition": {"table": "nothing", "columns": [{"name": "a", "column": "id"}]}}, 404),
        ({"definition": {"table": CELLS, "columns": [{"name": "a", "column": "nothing"}]}}, 404),
        ({"definition": {"table": CELLS, "columns": [{"name": "a; DROP", "column": "id"}]}}, 400),
        ({"definition": {"table": CELLS}, "descripton": ""}, 400),
    ],
)
def test_what_cannot_be_made(api: Api, body: Any, code: int) -> None:
    answer = api.call("PUT", "views/bad", body, code)
    assert set(answer) == {"code", "message", "hint"}
    assert api.call("GET", "version/1/views") == {}


def test_views_at_a_version_that_expired(api: Api) -> None:
    """While its epoch is kept by its number; and by its time as long as that can be told."""
    conn, stack = api.story.conn, api.story.pair.name
    api.call("PUT", "views/inputs", inputs(api), 201)
    body = {"table": "inputs", "timestamp": api.story.pair.versions[1][0].isoformat()}
    before = api.rows(1, "inputs")
    dropping.drop(conn, stack, 1)
    assert before
    assert api.rows(1, "inputs") == before
    assert api.call("GET", "version/1/views")["inputs"]["live_compatible"]
    assert api.call("POST", "query?return_pyarrow=false", body) == before
    garbage.collect(conn, stack, live_horizon=timedelta(0))
    told = api.call("POST", "version/1/views/inputs/query", {}, 410)
    assert body["timestamp"] in told["hint"]
    again = api.call("POST", "query?return_pyarrow=false", body)
    assert {row["root"]: row["n"] for row in again} == {row["root"]: row["n"] for row in before}
