"""What nobody should send: a clear answer to each, nothing half done, and the server goes on."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from asking import Api, served_story
from hostile import Hostile, filled
from hostile_requests import HOSTILE

from matengine.api import wire
from matengine.storage.connections import Connection
from matengine.times import now

# what belongs into the server's log, not into an answer
INSIDE = ("SELECT", "psycopg", "Traceback", "history.", "pydantic", 'File "', "INSERT")


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        pytest.MonkeyPatch.context() as patch,
        served_story(server_url, tmp_path_factory.mktemp("volume")) as served,
    ):
        patch.setattr(wire, "MAX_UNPACKED_BYTES", 32_000_000)
        served.client.application.config["MAX_CONTENT_LENGTH"] = 4_000_000
        yield served


def everything(conn: Connection) -> dict[str, Any]:
    """How many rows each table has; what live queries keep for later does not count."""
    names = conn.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'live')"
        " AND tablename <> 'overlay' ORDER BY 1"
    ).fetchall()
    counts = " UNION ALL ".join(f"SELECT '{n}', count(*) FROM {n}" for (n,) in names)  # noqa: S608
    found = dict(conn.execute(counts).fetchall())
    conn.rollback()
    return found


@pytest.fixture(scope="module")
def untouched(api: Api) -> dict[str, Any]:
    return everything(api.story.conn)


@pytest.mark.parametrize("asked", HOSTILE, ids=lambda asked: asked.name)
def test_each(api: Api, untouched: dict[str, Any], asked: Hostile) -> None:
    names = {
        "$ds": api.story.pair.name,
        "$av": api.story.conn.info.dbname,
        "$t": api.synapses,
        "$now": now().isoformat(),
    }
    found = api.client.open(
        filled(asked.path, names),
        method=asked.method,
        data=asked.data(names),
        headers=dict(asked.headers),
    )
    assert found.status_code == asked.code, found.text[:1000]
    if asked.code >= 400:
        assert found.content_type == "application/json"
        told = orjson.loads(found.data)
        assert set(told) == {"code", "message", "hint"}
        assert told["code"] == asked.code
        assert told["message"]
        assert len(found.data) < 10_000
        assert not [word for word in INSIDE if word in found.text]
    if asked.code == 405:
        assert found.headers["Allow"]
    if asked.answer is not None:
        assert orjson.loads(found.data) == asked.answer
    before, after = dict(untouched), everything(api.story.conn)
    untouched.update(after)
    assert before == after


@pytest.mark.parametrize("path", ["versions", "version/1/tables", "version/1"])
def test_asking_without_wanting_the_answer(api: Api, path: str) -> None:
    whole = api.client.get(api.path(path))
    head = api.client.head(api.path(path))
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.data))
    options = api.client.options(api.path(path))
    assert (options.status_code, options.data) == (200, b"")
    assert {"GET", "HEAD", "OPTIONS"} == {m.strip() for m in options.headers["Allow"].split(",")}
