"""Starting, watching and cancelling runs over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from story import CELLS, Story, story

from matengine.api import auth
from matengine.api.app import create_app
from matengine.api.materialize import proof, starting
from matengine.api.materialize import runs as run_routes
from matengine.engine.access import LOCAL, User
from matengine.engine.annotations import rows
from matengine.engine.runs import engine, runs
from matengine.engine.versions import catalogue, epoch
from matengine.storage import pools
from matengine.storage.connections import conninfo_of


@dataclass
class Api:
    story: Story
    client: FlaskClient
    uploads: Path
    sent: list[tuple[str, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.story.pair.name

    def start(self, what: str, code: int = 200, table: str | None = None, **given: Any) -> Any:
        """POST a run; `given` are arguments of the client such as json or query_string."""
        path = f"/materialize/api/v2/materialize/run/{what}/datastack/{self.name}"
        answer = self.client.post(f"{path}/{table}" if table else path, **given)
        assert answer.status_code == code, answer.text
        return answer.json

    def finish(self, answer: Any) -> Any:
        """Do what workers would; the run as told then."""
        assert answer["status"] == "running"
        assert self.sent.pop() == (self.story.conn.info.dbname, answer["run_id"])
        engine.drive(conninfo_of(self.story.conn), answer["run_id"])
        told = self.client.get(answer["url"].removeprefix("http://localhost")).json
        assert told is not None
        assert told["status"] == "done", told
        assert told["units"]["done"] == told["units"]["total"]
        return told

    def runs(self, rest: str = "", method: str = "GET", code: int = 200) -> Any:
        path = f"/materialize/api/v3/datastack/{self.name}/runs{rest}"
        answer = self.client.open(path, method=method)
        assert answer.status_code == code, answer.text
        return answer.json


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    uploads = tmp_path_factory.mktemp("uploads")
    with (
        pytest.MonkeyPatch.context() as patch,
        story(server_url, tmp_path_factory.mktemp("volume")) as told,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        patch.setenv("MATENGINE_BROKER_URL", "memory://")
        patch.setenv("MATENGINE_UPLOADS", str(uploads))
        told.conn.commit()
        found = Api(told, create_app().test_client(), uploads)
        # reads the settings when it is imported
        tasks = import_module("matengine.workflows.tasks")
        patch.setattr(tasks.advance, "apply_async", lambda args, retry: found.sent.append(args))
        yield found
        pools.close_all()


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> Any:
    def become(user: User) -> None:
        for module in (auth, run_routes, starting, proof):
            monkeypatch.setattr(module, "current_user", lambda: user, raising=False)
        monkeypatch.setattr("matengine.api.materialize.paths.current_user", lambda: user)

    return become


@pytest.mark.parametrize("form", ["query_string", "data", "json"])
def test_complete_workflow(api: Api, form: str) -> None:
    """As a client that tries again would have it: one version, and the run's own number."""
    before = datetime.now().astimezone()
    given = {form: {"days_to_expire": 5, "merge_tables": False}}
    answer = api.start("complete_workflow", **given)
    again = api.start("complete_workflow", 409, **given)
    number = answer["run_id"]
    assert f"Run {number} (complete)" in again["message"]
    assert answer["url"] in again["hint"]
    assert f"Run {number}" in api.start("update_roots", 409)["message"]
    told = api.finish(answer)
    assert (told["workflow"], told["phase"]) == ("complete", "publish")
    version = catalogue.version(api.story.conn, api.name, told["version"])
    assert version.expires_on is not None
    assert timedelta(days=5) <= version.expires_on - before < timedelta(days=5, minutes=5)
    api.story.conn.commit()


def test_without_a_version(api: Api) -> None:
    versions = len(catalogue.versions(api.story.conn, api.name))
    api.story.conn.commit()
    for what, workflow in (
        ("update_roots", "update_roots"),
        ("update_database", "update_database"),
        ("lookup_root_ids", "update_database"),
    ):
        told = api.finish(api.start(what))
        assert (told["workflow"], told["version"]) == (workflow, None)
    assert api.finish(api.start("compact", json={"tables": [CELLS]}))["workflow"] == "compact"
    assert len(catalogue.versions(api.story.conn, api.name)) == versions
    frozen = api.start("create_frozen", json={"days_to_expire": None})
    assert (frozen["run_id"], frozen["status"]) == (None, "done")
    assert catalogue.newest(api.story.conn, api.name).version == frozen["version"]
    api.story.conn.commit()


def test_ingest(api: Api) -> None:
    """Supervoxels of new rows, of all tables or of one."""
    conn = api.story.conn
    staged = f'staging."{api.story.pair.table}__{api.name}"'
    api.story.pair.insert([(3, 3, 1), (7, 7, 1), (3, 3, 2)], 1.0)

    def waiting() -> int:
        there = conn.execute("SELECT to_regclass(%s)", (staged,)).fetchone()
        found = there and there[0] and conn.execute(f"SELECT count(*) FROM {staged}").fetchone()  # noqa: S608
        conn.commit()
        return found[0] if found else 0

    api.finish(api.start("ingest_annotations", table=CELLS))
    api.finish(api.start("lookup_svid", table=CELLS, json={"annotation_ids": [1]}))
    assert waiting() == 0
    api.finish(api.start("ingest_annotations", table=api.story.pair.table))
    assert waiting() == 1
    api.finish(api.start("ingest_annotations"))
    assert waiting() == 1
    api.start("ingest_annotations", 404, table="no_such_table")


def test_bulk_upload(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = pa.array([[1.0, 2.0, 2.0]] * 3, pa.list_(pa.float64(), 3))
    columns = {"pt_position": point, "kind": ["a", "b", "c"]}
    sent = pa.table(columns | {"classification_system": ["x"] * 3})
    pq.write_table(sent, api.uploads / "cells.parquet")
    pq.write_table(sent, tmp_path / "outside.parquet")
    (api.uploads / "link").symlink_to(tmp_path / "outside.parquet")
    before = rows.count(api.story.conn, CELLS)
    body = {"path": "cells.parquet", "ids": "sequence", "column_map": {"kind": "cell_type"}}
    told = api.finish(api.start("bulk_upload", table=CELLS, json=body))
    assert told["workflow"] == "bulk_upload"
    assert rows.count(api.story.conn, CELLS) == before + 3
    api.story.conn.commit()
    for path, code in (
        (str(tmp_path / "outside.parquet"), 400),
        ("../outside.parquet", 400),
        ("link", 400),
        ("missing.parquet", 404),
        ("", 400),
        ("a\0b", 400),
        (None, 400),
    ):
        api.start("bulk_upload", code, table=CELLS, json=body | {"path": path})
    api.start("bulk_upload", 400, table=CELLS, json=body | {"ids": "mine"})
    monkeypatch.delenv("MATENGINE_UPLOADS")
    assert "MATENGINE_UPLOADS" in api.start("bulk_upload", 403, table=CELLS, json=body)["hint"]
    assert not api.sent


def test_watch_and_cancel(api: Api) -> None:
    answer = api.start("complete_workflow")
    api.sent.clear()
    listed = api.runs("?limit=2&status=running")
    assert [run["run_id"] for run in listed] == [answer["run_id"]]
    one = api.runs(f"/{answer['run_id']}")
    assert listed == [one]
    assert (one["status"], one["finished"], one["error"]) == ("running", None, None)
    version = one["version"]
    for way in ({"rest": "/cancel", "method": "POST"}, {"rest": "", "method": "DELETE"}):
        gone = api.runs(f"/{answer['run_id']}{way['rest']}", way["method"])
        assert (gone["status"], gone["error"]) == ("cancelled", "cancelled by local")
        assert gone["finished"] is not None
    states = {v.version: v.status for v in catalogue.versions(api.story.conn, api.name)}
    assert states.get(version) != "AVAILABLE"
    api.story.conn.commit()
    assert [run["run_id"] for run in api.runs("?limit=1")] == [answer["run_id"]]
    api.runs("/999999", code=404)
    api.runs(f"/{2**64}", code=400)
    api.runs("?limit=0", code=400)
    other = runs.get(api.story.conn, answer["run_id"])
    api.story.conn.commit()
    assert other.status == "cancelled"
    path = f"/materialize/api/v3/datastack/no_such_stack/runs/{answer['run_id']}"
    assert api.client.get(path).status_code == 404


def test_refusals(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (
        {"days_to_expire": "soon"},
        {"days_to_expire": 0},
        {"days_to_expire": 10**12},
        {"merge_tables": "perhaps"},
    ):
        api.start("complete_workflow", 400, json=given)
    api.start("compact", 400, json={"tables": "cells"})
    api.start("compact", 404, json={"tables": ["no_such_table"]})
    virtual = api.start("create_virtual", 501, json={"target_version": 1})
    assert "virtual" in virtual["message"]
    monkeypatch.delenv("MATENGINE_BROKER_URL")
    assert "no workers" in api.start("update_roots", 503)["message"]
    assert not api.sent
    assert all(run["status"] != "running" for run in api.runs())


def test_who_may(api: Api, as_user: Any) -> None:
    """Administrators start runs; whoever may write to a table has its points looked up."""
    conn = api.story.conn
    conn.execute(
        "UPDATE annotation_table_metadata SET user_id = '9', write_permission = 'PRIVATE'"
        " WHERE table_name = %s",
        (CELLS,),
    )
    conn.commit()
    viewer = User(7, "ada", datastacks={api.name: frozenset({"view"})})
    owner = User(9, "bob", datastacks={api.name: frozenset({"view", "edit"})})
    for user, one in ((viewer, 403), (owner, 200)):
        as_user(user)
        for what in ("complete_workflow", "update_roots", "ingest_annotations", "create_frozen"):
            api.start(what, 403)
        api.start("compact", 403)
        api.start("create_virtual", 403)
        api.start("bulk_upload", 403, table=CELLS, json={"path": "cells.parquet"})
        answer = api.start("ingest_annotations", one, table=CELLS)
        number = api.runs("?limit=1")[0]["run_id"]
        api.runs(f"/{number}/cancel", "POST", 403)
        api.runs(f"/{number}", "DELETE", 403)
    as_user(User(8, "eve"))
    api.runs(code=403)
    as_user(LOCAL)
    api.finish(answer)


def test_a_version_waits_for_an_epoch_that_nobody_asked_for(api: Api) -> None:
    conn = api.story.conn
    light = epoch.start(conn, api.name, "update_database", publish_version=False, paced=True)
    while engine.advance(conn, light):
        if runs.get(conn, light).phase != "wait":
            break
    begun = api.start("complete_workflow")
    assert api.runs(f"/{begun['run_id']}")["phase"] == "turn"
    assert begun["url"] in api.start("complete_workflow", 409)["hint"]
    told = api.finish(begun)
    assert told["version"] == catalogue.newest(conn, api.name).version
    assert api.runs(f"/{light}")["status"] == "done"


def test_the_pace_is_told_and_settled(api: Api) -> None:
    path = f"/materialize/api/v3/datastack/{api.name}/pace"
    found = api.client.get(path).json
    assert found is not None
    assert (found["datastack"], found["least"], found["own"]) == (api.name, "1m", [])
    changed = api.client.patch(path, json={"active": False, "least": "5m", "target": 0.01}).json
    assert changed is not None
    assert (changed["active"], changed["least"], changed["target"]) == (False, "5m", 0.01)
    assert changed["own"] == ["active", "least", "target"]
    everything = dict.fromkeys(("active", "least", "most", "target", "keep"))
    assert api.client.patch(path, json=everything).json == found
    for wrong in (
        [],
        {"lest": "5m"},
        {"least": "5"},
        {"active": "no"},
        {"keep": {}},
        {"most": "1s"},
    ):
        assert api.client.patch(path, json=wrong).status_code == 400, wrong
    assert api.client.get(path).json == found
