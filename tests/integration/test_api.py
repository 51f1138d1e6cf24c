"""The application itself: errors, health, who may call."""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from flask import request
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from matengine.api import wire
from matengine.api.app import create_app
from matengine.errors import Conflict, Invalid, NotFound, Unavailable
from matengine.storage import connections, pools
from matengine.times import from_ms

APP = create_app()


@pytest.fixture
def client(av: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("MATENGINE_AUTH", "off")
    yield create_app(hosts=["lab.example"], origins=["https://viewer.example"]).test_client()
    pools.close_all()


def test_health_and_version(client: FlaskClient) -> None:
    assert client.get("/health/live").json == {"status": "alive"}
    assert client.get("/health/ready").json == {"status": "ready"}
    assert isinstance(client.get("/version").json, str)


def test_not_ready_without_a_database(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATENGINE_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/postgres")
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json is not None
    assert "cannot be reached" in answer.json["message"]
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/version", 405),
        ("GET", "/segmentation/table/nothing/info", 404),
        ("GET", "/segmentation/api/v1/table/nothing/node/x/root", 404),
        ("POST", "/segmentation/api/v1/table/nothing/roots_binary?stop_layer=top", 400),
        ("POST", "/segmentation/api/v1/table/nothing/is_latest_roots", 400),
    ],
)
def test_errors_have_one_shape(client: FlaskClient, method: str, path: str, code: int) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == code
    assert answer.content_type == "application/json"
    assert answer.json is not None
    assert set(answer.json) == {"code", "message", "hint"}
    assert answer.json["code"] == code
    assert answer.json["message"]


def test_what_went_wrong_inside_stays_inside(av: Any, capfd: pytest.CaptureFixture[str]) -> None:
    app = create_app()

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("SELECT secret FROM nowhere")

    answer = app.test_client().get("/broken")
    assert answer.status_code == 500
    assert b"secret" not in answer.data
    assert b"Traceback" not in answer.data
    assert "SELECT secret" in "".join(capfd.readouterr())  # the operator sees it


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", 503),
        ("SET statement_timeout = 20; SELECT pg_sleep(60)", 400),
        ("SELECT 1 / 0", 500),
    ],
)
def test_what_the_database_cannot_do(av: Any, statement: str, code: int) -> None:
    app = create_app()

    @app.get("/broken")
    def broken() -> str:
        with pools.connection(av.name) as conn:
            conn.execute(statement)
        return "done"

    answer = app.test_client().get("/broken")
    assert (answer.status_code, set(answer.json or {})) == (code, {"code", "message", "hint"})
    assert b"SELECT" not in answer.data
    assert b"statement" not in answer.data
    pools.close_all()


def test_expected_errors_tell_their_hint(av: Any) -> None:
    app = create_app()

    @app.get("/taken")
    def taken() -> str:
        raise Conflict("It is there.", "Take another.")

    answer = app.test_client().get("/taken")
    assert answer.json == {"code": 409, "message": "It is there.", "hint": "Take another."}
    assert answer.status_code == 409


@pytest.mark.parametrize("path", ["/version/", "/health/live/", "/segmentation//api/version"])
def test_nothing_redirects(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code in (200, 404)


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:5000", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("lab.example", 200),
        ("LAB.example:443", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
    ],
)
def test_foreign_hosts_are_refused(client: FlaskClient, host: str, code: int) -> None:
    assert client.get("/health/live", headers={"Host": host}).status_code == code


@pytest.mark.parametrize(
    ("origin", "write_code"),
    [
        (None, 405),
        ("http://localhost", 405),
        ("https://viewer.example", 405),
        ("http://localhost:81", 403),
        ("https://localhost", 403),
        ("null", 403),
        ("https://evil.example", 403),
    ],
)
def test_foreign_pages_cannot_write(
    client: FlaskClient, origin: str | None, write_code: int
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = client.open("/version", method=method, headers=headers)
        assert answer.status_code == write_code
    read = client.get("/version", headers=headers)
    assert read.status_code == 200
    shown = read.headers.get("Access-Control-Allow-Origin")
    assert shown == (origin if write_code == 405 else None)
    preflight = client.options("/version", headers=headers)
    assert ("Access-Control-Allow-Methods" in preflight.headers) == (shown is not None)


def test_any_host_where_that_is_wanted(av: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATENGINE_AUTH", "off")
    client = create_app(hosts=["*"]).test_client()
    assert client.get("/health/live", headers={"Host": "anything"}).status_code == 200


def test_hosts_from_the_environment(av: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATENGINE_AUTH", "off")
    monkeypatch.setenv("MATENGINE_HOSTS", "one.example, two.example")
    client = create_app().test_client()
    assert client.get("/version", headers={"Host": "two.example"}).status_code == 200
    assert client.get("/version", headers={"Host": "three.example"}).status_code == 403


def test_description_of_the_interface(client: FlaskClient) -> None:
    spec = client.get("/openapi/openapi.json").json
    assert spec is not None
    assert "/segmentation/api/v1/table/{table}/roots_binary" in spec["paths"]


# ── what travels ─────────────────────────────────────────────────────────────


@given(st.integers(-(10**12), 4 * 10**12), st.integers(0, 999_999_999))
def test_seconds_are_floored_exactly(ms: int, part: int) -> None:
    """Milliseconds with nine more digits behind them, never through a double."""
    nanos = ms * 10**9 + part
    sign, whole = ("-", -nanos) if nanos < 0 else ("", nanos)
    text = f"{sign}{whole // 10**12}.{whole % 10**12:012d}"
    with APP.test_request_context(f"/?t={text}"):
        assert wire.time_in("t") == from_ms(ms)


@pytest.mark.parametrize("text", ["soon", "NaN", "Infinity", "1e30", "2026-01-01"])
def test_what_is_no_time(text: str) -> None:
    with APP.test_request_context(f"/?t={text}"), pytest.raises(Invalid):
        wire.time_in("t")


def test_double_notation_is_a_time() -> None:
    with APP.test_request_context("/?t=1.7e9"):
        assert wire.time_in("t") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@given(st.lists(st.integers(0, 2**63 - 1)))
def test_ids_as_texts_and_numbers(ids: list[int]) -> None:
    for values in (ids, [str(i) for i in ids]):
        found = wire.ids_in(values)
        assert found.dtype == np.int64
        assert found.tolist() == ids


@pytest.mark.parametrize("bad", [[1.5], [True], ["x"], [None], [2**64], {"a": 1}, "1.0"])
def test_what_is_no_id(bad: Any) -> None:
    with pytest.raises(Invalid):
        wire.ids_in(bad)


def test_gzipped_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.arange(1000, dtype="<i8").tobytes()
    app = create_app()

    def unpacked(data: bytes) -> bytes:
        headers = {"Content-Encoding": "gzip"}
        with app.test_request_context("/", method="POST", data=data, headers=headers):
            assert request.method == "POST"
            return wire.body()

    packed = gzip.compress(content)
    assert unpacked(packed) == content
    for bad in (content, packed[:-5], b""):
        with pytest.raises(Invalid):
            unpacked(bad)
    monkeypatch.setattr(wire, "MAX_UNPACKED_BYTES", 7999)
    with pytest.raises(Invalid, match="too large"):
        unpacked(packed)


# ── connections ──────────────────────────────────────────────────────────────


def test_pool_commits_and_undoes(av: Any) -> None:
    with pools.connection(av.name) as conn:
        conn.execute("CREATE TABLE kept (n integer)")

    def insert_and_fail() -> None:
        with pools.connection(av.name) as conn:
            conn.execute("INSERT INTO kept VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    with pools.connection(av.name) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)
        assert conn.execute("SHOW statement_timeout").fetchone() == ("2min",)
    pools.close_all()


def test_pool_survives_lost_connections(av: Any, server_url: str) -> None:
    for _ in range(2):
        with pools.connection(av.name) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
        with connections.open_connection(server_url, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (av.name,),
            )
    pools.close_all()


def test_pool_of_nothing(av: Any) -> None:
    with pytest.raises(NotFound, match="no aligned volume"), pools.connection("nothing"):
        pass


def test_pool_waits_in_bounds(av: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_CONNECTIONS", 1)
    with pools.connection(av.name):
        monkeypatch.setattr(pools, "WAIT_S", 0.05)
        with pytest.raises(Unavailable, match="came free"), pools.connection(av.name):
            pass
    pools.close_all()
