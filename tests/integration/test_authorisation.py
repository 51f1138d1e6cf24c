"""No route forgets to ask who asks: every one of them, with logins on."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asking import Api, served_story
from auth_server import auth_service, user
from flask.testing import FlaskClient
from story import CELLS
from werkzeug.routing import Rule

from matengine.api.app import create_app
from matengine.engine.annotations import tables
from matengine.storage import pools
from matengine.times import now

OWNER, FRIEND, STRANGER, READER = (letter * 32 for letter in "abcd")
# the description of the interface, schemas, and whether the server is there
OPEN = {"health", "schema", "openapi", "swagger"}
OPEN_ROUTES = {
    "materialize.interface_versions",
    "materialize.service_version",
    "chunkedgraph.interface_versions",
    "chunkedgraph.interface_version",
    "info.interface_versions",
    "info.interface_version",
    "state.interface_version",
}


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The synapses are private; `cells_of_theirs` is a view of them, that their owner made."""
    users = {
        OWNER: user(11, brain=["view", "edit"]),
        FRIEND: user(12, brain=["view", "edit"]),
        STRANGER: user(13, liver=["view", "edit"]),
        READER: user(14, brain=["view"]),
    }
    with (
        served_story(server_url, tmp_path_factory.mktemp("volume")) as served,
        auth_service(users) as service,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MATENGINE_AUTH_URL", service.url)
        service.datasets[served.story.pair.name] = "brain"
        tables.update_metadata(
            served.story.conn, served.synapses, user_id="11", read_permission="PRIVATE"
        )
        served.story.conn.commit()
        found = Api(served.story, create_app().test_client())
        definition = {"table": found.synapses, "columns": [{"name": "id", "column": "id"}]}
        body = {"definition": definition}
        made = ask(found, OWNER, "PUT", found.path("views/theirs"), body)
        assert made.status_code == 201
        yield found
        pools.close_all()


def ask(api: Api, token: str | None, method: str, path: str, body: Any = None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return api.client.open(path, method=method, json=body, headers=headers)


def routes(client: FlaskClient) -> list[tuple[str, Rule]]:
    return [
        (method, rule)
        for rule in client.application.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def address(api: Api, rule: Rule) -> str:
    """A route's address with what there is; its tables are the private ones."""
    datastack = api.story.pair.name
    values: dict[str, Any] = {
        "api_version": "v3",
        "datastack": datastack,
        "aligned_volume": api.story.conn.info.dbname,
        "version": "1",
        "table": datastack if rule.rule.startswith("/segmentation") else api.synapses,
        "view": "theirs",
        "key": "info",
        "filename": "style.css",
        "schema_type": "synapse",
    }
    wanted = {name: values.get(name, 1) for name in rule.arguments}
    built = api.client.application.url_map.bind("localhost").build(rule.endpoint, wanted)
    return f"{built}?table={api.synapses}&old=1&new=2&annotation_ids=1&timestamp_past=0"


def body_for(api: Api, rule: Rule) -> Any:
    """What the route takes, so that it gets as far as it can."""
    last = rule.endpoint.rpartition(".")[2]
    point = [1 << 56 | 1, 1, 1, 1]
    table = {"table_name": api.synapses, "schema_type": "synapse"}
    numbers = {f"voxel_resolution_{axis}": 1 for axis in "xyz"}
    bodies: dict[str, Any] = {
        "query_join": {"tables": [[api.synapses, "id"]]},
        "query_live": {"table": api.synapses, "timestamp": now().isoformat()},
        "make_view": {
            "definition": {
                "table": api.synapses,
                "columns": [{"name": "id", "column": "id"}],
            }
        },
        "merge": [point, point],
        "find_path": [point, point],
        "roots_binary": None,
        "create": table | {"metadata": numbers | {"description": "x"}},
        "change": table | {"metadata": {"description": "x"}},
    }
    anything = {"node_ids": [1], "root_ids": [1], "operation_id": 1, "sources": [point]}
    anything |= {"sinks": [point], "annotations": [{"id": 1}], "annotation_ids": [1]}
    return {} if last in ("query_table", "query_view") else bodies.get(last, anything)


def test_every_route_wants_a_login(api: Api) -> None:
    asked = 0
    for method, rule in routes(api.client):
        code = ask(api, None, method, address(api, rule), body_for(api, rule)).status_code
        open_to_all = rule.endpoint in OPEN_ROUTES or rule.endpoint.partition(".")[0] in OPEN
        assert (code != 401) is open_to_all, (method, rule, code)
        asked += 1
    assert asked > 120


def test_without_rights_nothing_of_a_datastack_is_seen(api: Api) -> None:
    names = {"datastack", "aligned_volume", "table"}
    found = {
        (method, rule.rule, code)
        for method, rule in routes(api.client)
        if names & rule.arguments and rule.endpoint.partition(".")[0] not in OPEN
        for code in [
            ask(api, STRANGER, method, address(api, rule), body_for(api, rule)).status_code
        ]
        if code not in (403, 404)
    }
    assert not found


def test_a_private_table_is_reached_by_no_route(api: Api) -> None:
    """Not even by those who may edit the datastack; a view shows what its reader may read."""
    asked = 0
    for method, rule in routes(api.client):
        if rule.rule.startswith("/segmentation") or not {"table", "view"} & rule.arguments:
            continue
        if method == "DELETE" and "view" in rule.arguments:
            continue
        found = ask(api, FRIEND, method, address(api, rule), body_for(api, rule))
        assert found.status_code == 403, (method, rule, found.text[:300])
        asked += 1
    assert asked > 25


def test_nor_by_a_query_that_names_it(api: Api) -> None:
    private, public = api.synapses, api.notes
    time = now().isoformat()
    live = {"table": public, "timestamp": time}
    box = {"ctr_pt_position": [[0, 0, 0], [9, 9, 9]]}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "version/1/query", {"tables": [[public, "target_id"], [private, "id"]]}),
        ("POST", "version/1/query", {"tables": [[private, "id"], [public, "target_id"]]}),
        ("POST", "version/0/query", {"tables": [[public, "target_id"], [private, "id"]]}),
        ("POST", "version/1/query?count=true", {"tables": [[private, "id"]]}),
        ("POST", f"version/1/table/{private}/query?count=true", {}),
        ("POST", f"version/1/table/{private}/query", {"filter_spatial_dict": {private: box}}),
        ("POST", "query", live | {"join_tables": [[public, "target_id", private, "id"]]}),
        ("POST", "query", {"table": private, "timestamp": time}),
        ("POST", "query?count=true", {"table": private, "timestamp": time}),
        ("POST", "query", {"table": "theirs", "timestamp": time}),
        ("POST", "version/1/table/theirs/query", {}),
        ("GET", f"diff?table={private}&old=1&new=2", None),
    ]
    for method, path, body in requests:
        found = ask(api, FRIEND, method, api.path(path), body)
        assert found.status_code == 403, (path, body, found.text[:300])
        owned = ask(api, OWNER, method, api.path(path), body)
        assert owned.status_code == 200, (path, body, owned.text[:300])
    # a filter or a column of a table that is not asked is no way in
    for body in ({"filter_in_dict": {private: {"id": [1]}}}, {"select_columns": {private: ["id"]}}):
        found = ask(api, FRIEND, "POST", api.path(f"version/1/table/{public}/query"), body)
        assert found.status_code in (400, 403, 404)


def test_nor_does_a_misspelt_name_find_it(api: Api) -> None:
    """Errors that ask whether another name was meant name only what the user may read."""
    wrong, hinted, asked = api.synapses.replace("ds_", "ds"), set(), 0
    for method, rule in routes(api.client):
        if rule.rule.startswith("/segmentation") or not {"table", "view"} & rule.arguments:
            continue
        path, body = (
            json.loads(json.dumps(told).replace(api.synapses, wrong).replace("theirs", "thers"))
            for told in (address(api, rule), body_for(api, rule))
        )
        found = ask(api, FRIEND, method, path, body)
        assert found.status_code in (200, 201, 403, 404), (method, rule, found.text)
        assert api.synapses not in found.text, (method, rule, found.text)
        assert "theirs" not in found.text, (method, rule, found.text)
        asked += 1
    assert asked > 25
    requests = [
        ("POST", "version/1/table/NAME/query", {}),
        ("POST", "version/0/table/NAME/query", {}),
        ("POST", "version/1/query", {"tables": [[api.notes, "target_id"], ["NAME", "id"]]}),
        ("POST", "query", {"table": "NAME", "timestamp": now().isoformat()}),
        ("POST", "version/1/views/NAME/query", {}),
        ("GET", "diff?table=NAME&old=1&new=2", None),
    ]
    for method, path, body in requests:
        for name, meant in ((wrong, api.synapses), ("thers", "theirs"), ("cels", CELLS)):
            rest, told = (json.loads(json.dumps(x).replace("NAME", name)) for x in (path, body))
            hints = [ask(api, t, method, api.path(rest), told).json for t in (OWNER, FRIEND)]
            assert all(hint["code"] == 404 for hint in hints), hints
            if meant != CELLS:
                assert meant not in str(hints[1])
            hinted |= {(path, meant)} if meant in str(hints[0]["hint"]) else set()
    assert {meant for _, meant in hinted} == {api.synapses, "theirs", CELLS}
    assert len(hinted) > 10


def test_views_are_made_and_dropped_by_those_who_may(api: Api) -> None:
    """Made by editors who may read the tables, dropped by their makers; read by any reader."""
    columns = [{"name": "id", "column": "id"}]
    of_cells = {"definition": {"table": CELLS, "columns": columns}}
    private = {"definition": {"table": api.synapses, "columns": columns}}
    path = api.path("views/ours")

    def code(token: str, method: str, body: Any = None, path: str = path) -> int:
        return int(ask(api, token, method, path, body).status_code)

    assert [code(t, "PUT", of_cells) for t in (READER, STRANGER)] == [403, 403]
    assert code(FRIEND, "PUT", private) == 403
    assert code(FRIEND, "PUT", of_cells) == 201
    assert code(READER, "POST", {}, api.path("version/1/views/ours/query")) == 200
    assert "ours" in ask(api, READER, "GET", api.path("version/1/views")).json
    assert [code(t, "DELETE") for t in (READER, OWNER, STRANGER)] == [403, 403, 403]
    assert code(FRIEND, "DELETE", path=api.path("views/theirs")) == 403
    assert [code(FRIEND, "DELETE"), code(FRIEND, "DELETE")] == [200, 404]


def test_nor_is_it_listed(api: Api) -> None:
    volume = f"/annotation/api/v2/aligned_volume/{api.story.conn.info.dbname}/table"
    lists = [
        *(api.path(f"version/{v}/tables{more}") for v in (0, 1, 2) for more in ("", "/metadata")),
        *(api.path(f"version/1/views{more}") for more in ("", "/schemas")),
        *(volume, api.path("version/1/verify"), "/"),
    ]
    for path in lists:
        shown = {token: ask(api, token, "GET", path).text for token in (OWNER, FRIEND)}
        assert all(text.startswith(("{", "[", "<")) for text in shown.values()), shown
        # notes may say that they refer to it
        seen = [text.replace(f'"reference_table":"{api.synapses}"', "") for text in shown.values()]
        name = "theirs" if "/views" in path else api.synapses
        assert [name in text for text in seen] == [True, False], path
        assert "/views" in path or CELLS in shown[FRIEND], path
    page = ask(api, STRANGER, "GET", "/")
    assert page.status_code == 200
    assert api.story.pair.name not in page.text
