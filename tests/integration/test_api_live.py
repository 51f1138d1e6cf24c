"""Rows as of any time over HTTP, on both axes, and root ids of another time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from story import Story, story
from typer.testing import CliRunner

from matengine.api.app import create_app
from matengine.cli.app import app as cli
from matengine.engine.query import answer
from matengine.engine.query.model import Axes, Query
from matengine.storage import pools

Rows = list[dict[str, Any]]


@dataclass
class Api:
    story: Story
    client: FlaskClient

    @property
    def table(self) -> str:
        return self.story.pair.table

    def post(self, rest: str, body: Any, code: int = 200, **arguments: Any) -> Any:
        path = f"/materialize/api/v3/datastack/{self.story.pair.name}/{rest}"
        options = arguments | {"return_pyarrow": "false"}
        found = self.client.post(path, json=body, query_string=options)
        assert found.status_code == code, found.text
        return found.json

    def live(self, at: datetime, code: int = 200, filters: Any = None, **arguments: Any) -> Any:
        body = {"table": self.table, "timestamp": at.isoformat()} | (filters or {})
        return self.post("query", body, code, **arguments)

    def expected(self, at: Any) -> Rows:
        found = answer.ask(self.story.conn, self.story.pair.name, at, Query(self.table))
        self.story.conn.commit()
        return [row | {"created": None} for row in found.to_pylist()]


def without_times(rows: Rows) -> Rows:
    return [row | {"created": None} for row in rows]


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        pytest.MonkeyPatch.context() as patch,
        story(server_url, tmp_path_factory.mktemp("volume")) as told,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        yield Api(told, create_app().test_client())
        pools.close_all()


def times(api: Api) -> list[datetime]:
    published = [time for time, _ in api.story.pair.versions.values()]
    between = published[0] + timedelta(seconds=0.1)
    return [published[0] - timedelta(milliseconds=1), *published, between, api.story.pair.clock()]


def test_any_time(api: Api) -> None:
    for time in times(api):
        api.story.pair.judge_live(time)
        assert without_times(api.live(time)) == api.expected(time)
    for version, (time, frozen) in api.story.pair.versions.items():
        told = api.post(f"version/{version}/table/{api.table}/query", {})
        assert api.live(time) == told
        assert len(told) == frozen[api.table].num_rows


def test_both_axes(api: Api) -> None:
    first, second = (time for time, _ in api.story.pair.versions.values())
    now = api.story.pair.clock()
    api.story.pair.judge_axes(now, first)
    expected = api.expected(Axes(now, first))
    assert expected != api.expected(now)
    asked = {"segmentation": "1"}
    assert without_times(api.live(now, filters=asked)) == expected
    frozen = api.post(f"version/2/table/{api.table}/query", {"segmentation": first.isoformat()})
    assert without_times(frozen) == api.expected(Axes(2, 1))
    assert api.expected(Axes(2, second)) == api.expected(2)
    api.post(f"version/2/table/{api.table}/query", {"segmentation": "nothing"}, 404)
    for words, moment in ((("now", "live", 0), now), (("newest", "latest", -1), 2)):
        right = api.expected(Axes(1, moment))
        for word in words:
            told = api.post(f"version/1/table/{api.table}/query", {"segmentation": word})
            assert without_times(told) == right
    for word in ("now", "0", "live"):
        assert api.post(f"version/{word}/table/{api.table}/query", {}) == api.live(now)
    printed = CliRunner().invoke(
        cli,
        f"query {api.table} --version 2 --segmentation 1 --json"
        f" --datastack {api.story.pair.name}".split(),
    )
    assert printed.exit_code == 0, printed.output
    assert without_times(json.loads(printed.stdout)) == api.expected(Axes(2, 1))


def test_roots_of_another_time(api: Api) -> None:
    (before, _), (after, _) = api.story.pair.versions.values()
    old = {row["pre_pt_root_id"] for row in api.expected(1)}
    new = {row["pre_pt_root_id"] for row in api.expected(2)}
    gone, came = min(old - new), min(new - old)
    wanted = {"filter_in_dict": {api.table: {"pre_pt_root_id": [gone]}}}
    assert api.live(before, filters=wanted)
    told = api.live(after, 400, filters=wanted)
    assert str(gone) in told["message"]
    assert any(str(root) in told["message"] for root in new)
    assert api.live(after, filters=wanted, allow_invalid_root_ids=True) == []
    later = {"filter_in_dict": {api.table: {"pre_pt_root_id": [came]}}}
    assert str(came) in api.live(before, 400, filters=later)["message"]
    run = CliRunner().invoke
    words = ["query", api.table, "--version", "2", "--datastack", api.story.pair.name, "--json"]
    words += ["--where", f"pre_pt_root_id={gone}"]
    refused = run(cli, words)
    assert "in its place there was" in str(refused.exception)
    translated = run(cli, [*words, "--translate-root-ids"])
    assert f"{gone} by" in translated.stderr
    found = api.live(after, filters=wanted, translate_root_ids=True)
    assert [row["id"] for row in json.loads(translated.stdout)] == [row["id"] for row in found]
    assert found
    allowed = run(cli, [*words, "--allow-invalid-root-ids"])
    assert json.loads(allowed.stdout) == []
    assert "in its place there was" in allowed.stderr
    # as of the segmentation, not of the annotations
    assert api.live(after, filters=wanted | {"segmentation": 1})


@pytest.mark.parametrize(
    "timestamp", ["", "yesterday", "2126-01-01T00:00:00", "2026-13-01T00:00:00Z", "0"]
)
def test_what_is_no_time(api: Api, timestamp: str) -> None:
    api.post("query", {"table": api.table, "timestamp": timestamp}, 400)


def test_zones(api: Api) -> None:
    time = next(iter(api.story.pair.versions.values()))[0]
    texts = [
        time.isoformat(),
        time.replace(tzinfo=None).isoformat(),
        time.isoformat().replace("+00:00", "Z"),
        (time + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00",
    ]
    told = [api.post("query", {"table": api.table, "timestamp": text}) for text in texts]
    assert all(rows == told[0] for rows in told)
