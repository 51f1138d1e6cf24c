"""The story of two versions served by the application, and how to ask it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from story import Story, story

from matengine.api.app import create_app
from matengine.engine.query import answer
from matengine.engine.query.model import At, Query
from matengine.engine.versions import labels
from matengine.storage import pools


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
            assert set(answer.json or {}) >= {"code", "message", "hint"}
        return answer.json


@contextmanager
def served_story(server_url: str, folder: Path) -> Iterator[Api]:
    """The story; version 1 has a name."""
    with pytest.MonkeyPatch.context() as patch, story(server_url, folder) as told:
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        labels.name(told.conn, told.pair.name, 1, "v1.0 µ")
        told.conn.commit()
        yield Api(told, create_app().test_client())
        pools.close_all()


ARROW = {"Accept-Encoding": "zstd"}


def ask(api: Api, rest: str, body: dict[str, Any] | None = None, **sent: Any) -> Any:
    """The response to a query; `code`, `headers` and query parameters by name."""
    code, headers = sent.pop("code", 200), sent.pop("headers", ARROW)
    interface = sent.pop("interface", "v3")
    found = api.client.post(
        api.path(rest, interface),
        data=orjson.dumps(body or {}),
        query_string=sent,
        headers=headers,
    )
    assert found.status_code == code, found.text
    if code >= 400:
        assert found.content_type == "application/json"
        assert set(found.json or {}) >= {"code", "message", "hint"}
        assert "SELECT" not in found.text
    return found


def rows_of(response: Any) -> pa.Table:
    assert response.headers["Content-Type"] == "data.arrow"
    assert "Content-Encoding" not in response.headers
    return pa.ipc.open_stream(response.data).read_all()


def told(response: Any) -> dict[str, Any]:
    """What the schema's metadata says, and the last batch over it."""
    reader = pa.ipc.open_stream(response.data)
    found = orjson.loads(reader.schema.metadata[b"matengine"])
    *_, (last, end) = reader.iter_batches_with_custom_metadata()
    assert last.num_rows == 0
    return found | orjson.loads(end[b"matengine"])


def engine(api: Api, at: At, query: Query) -> pa.Table:
    return answer.ask(api.story.conn, api.story.pair.name, at, query).replace_schema_metadata(None)


def same(found: pa.Table, expected: pa.Table) -> bool:
    return bool(found.replace_schema_metadata(None).equals(expected)) and expected.num_rows > 0
