"""The state server: states and properties, kept as they were sent."""

import gzip
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from matengine.api.app import create_app
from matengine.engine import states
from matengine.storage import connections, server_wide

ROOT = "/nglstate/api/v1"


@pytest.fixture
def client(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("MATENGINE_DATABASE_URL", server_url)
    # a database of this test alone
    name = f"matengine_server_{uuid.uuid4().hex[:10]}"
    monkeypatch.setattr(server_wide, "NAME", name)
    server_wide._prepare.cache_clear()
    yield create_app(services=["state"]).test_client()
    server_wide._prepare.cache_clear()
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def keep(client: FlaskClient, content: bytes, place: str = "post", status: int = 200) -> Any:
    answer = client.post(f"{ROOT}/{place}", data=content)
    assert answer.status_code == status
    if status != 200:
        return answer.json
    number = re.search(r"/(\d+)", answer.text.partition("//")[2])
    assert number
    assert 0 < int(number[1]) < 2**53
    return int(number[1])


def test_states_come_back_byte_for_byte(client: FlaskClient) -> None:
    contents = [
        b'{"id": 18446744073709551615, "text": "\\u0000 \xc3\xa4",  "spaced" : [1.0, 1e400]}',
        json.dumps({"gap": float("nan")}).encode(),
        b"[]",
        b"{}",
    ]
    numbers = [keep(client, content) for content in contents]
    assert len(set(numbers)) == len(contents)
    packed = client.post(
        f"{ROOT}/post", data=gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"}
    )
    assert client.get(packed.json).data == b"[1]"  # its address
    for content, number in zip(contents, numbers, strict=True):
        for path in (f"{ROOT}/{number}", f"{ROOT}/raw/{number}", f"/nglstate/{number}"):
            answer = client.get(path)
            assert answer.data == content
            assert answer.content_type == "application/json"
        assert client.get(f"{ROOT}/property/{number}/info").status_code == 404
    # another process finds them
    server_wide._prepare.cache_clear()
    assert create_app().test_client().get(f"{ROOT}/{numbers[0]}").data == contents[0]
    # and nobody takes the database for an aligned volume
    assert server_wide.NAME not in connections.aligned_volumes()


def test_properties_and_numbers_that_are_wanted(client: FlaskClient) -> None:
    number = keep(client, b'{"inline": {}}', "property/post")
    assert client.get(f"{ROOT}/property/{number}/info").data == b'{"inline": {}}'
    assert client.get(f"{ROOT}/property/raw/{number}").data == b'{"inline": {}}'
    assert client.get(f"{ROOT}/{number}").status_code == 404
    assert keep(client, b'{"a": 1}', f"post/{number}") == number
    assert keep(client, b'{"a": 1}', f"post/{number}") == number  # sent again
    keep(client, b'{"a": 2}', f"post/{number}", 409)
    assert client.get(f"{ROOT}/{number}").data == b'{"a": 1}'
    keep(client, b"{}", f"property/post/{2**53}", 400)
    assert client.get(f"{ROOT}/{2**70}").status_code == 404


def test_what_is_no_state(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"", b"no json", b'{"a": 1', b"\xff", b"[" * 100_000):
        assert "JSON" in keep(client, content, status=400)["message"]
    monkeypatch.setattr(states, "MAX_BYTES", 10)
    keep(client, b'{"a": "12345"}', status=400)
    assert client.get(f"{ROOT}/version").json == "0.4.1"
