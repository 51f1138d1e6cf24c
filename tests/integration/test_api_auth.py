"""Who may call: nobody but this machine without logins, and with logins whom the auth service
knows, for what it allows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from auth_server import AuthService, auth_service, user
from small_world import Pair, write_volume

from matengine.api.app import create_app
from matengine.cli.app import main
from matengine.engine import datastacks
from matengine.engine.datastacks import Segmentation
from matengine.errors import Invalid, MatengineError
from matengine.storage import pools
from matengine.storage.connections import Connection
from matengine.times import now


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("MATENGINE_AUTH", "MATENGINE_AUTH_URL", "MATENGINE_TOKEN", "MATENGINE_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    yield
    pools.close_all()


# ── without logins ───────────────────────────────────────────────────────────


def test_no_logins_for_other_machines_unless_wanted(
    av: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid, match="no logins"):
        create_app(hosts=["lab.example"])
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    strict = create_app().test_client()
    assert strict.get("/info/api/v2/datastacks", environ_overrides=elsewhere).status_code == 403
    for near in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", ""):
        answer = strict.get("/info/api/v2/datastacks", environ_overrides={"REMOTE_ADDR": near})
        assert answer.status_code == 200
    monkeypatch.setenv("MATENGINE_AUTH", "off")
    wide = create_app(hosts=["lab.example"]).test_client()
    assert wide.get("/info/api/v2/datastacks", environ_overrides=elsewhere).status_code == 200


@pytest.mark.parametrize(
    ("mode", "url", "words"),
    [
        ("on", "", "MATENGINE_AUTH cannot be"),
        ("off", "https://auth.example/auth", "contradict"),
        ("", "auth.example/auth", "no address"),
        ("", "https://name:word@auth.example/auth", "no address"),
        ("", "ftp://auth.example/auth", "no address"),
    ],
)
def test_settings_that_cannot_be(
    mode: str, url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATENGINE_AUTH", mode)
    monkeypatch.setenv("MATENGINE_AUTH_URL", url)
    with pytest.raises(Invalid, match=words) as caught:
        create_app()
    assert "word@" not in str(caught.value)


def test_a_box_says_so_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MATENGINE_HOSTS", "lab.example")
    assert main(["up", "--data", str(tmp_path / "box")]) == 1
    assert "MATENGINE_AUTH=off" in capsys.readouterr().err
    assert not (tmp_path / "box").exists()


def test_services_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATENGINE_SERVICES", "schema, state")
    rules = {rule.rule for rule in create_app().url_map.iter_rules()}
    assert "/schema/api/v2/type" in rules
    assert not any(rule.startswith(("/info", "/annotation", "/materialize")) for rule in rules)
    with pytest.raises(Invalid, match="Did you mean 'annotation'"):
        create_app(services=["annotations"])


def test_the_user_of_a_server_without_logins(conn: Connection, tmp_path: Path) -> None:
    datastack = Pair(conn, write_volume(tmp_path)).name
    client = create_app().test_client()

    def ask(path: str) -> Any:
        # any token is as good as none
        answer = client.get(f"/auth/api/v1/{path}", headers={"Authorization": "Bearer whatever"})
        return answer.json if answer.status_code == 200 else answer.status_code

    (token,) = ask("user/token")
    assert token["user_id"] == 1
    assert len(token["token"]) == 32
    assert int(token["token"], 16)
    assert token["token"] in client.get("/sticky_auth/settings/tokens").text
    assert ask("create_token") == token["token"]
    assert [u["id"] for u in ask("user?id=1,2")] == [1]
    assert ask("user?id=2") == ask("group/4/user") == []
    assert ask("username?id=1") == [{"id": 1, "name": "local"}]
    me = ask("user/cache")
    assert (me["id"], me["admin"], me["groups"]) == (1, True, [])
    assert ask("user/1/permissions") == me
    assert ask("user/2/permissions") == 404
    assert ask(f"service/datastack/table/{datastack}/dataset") == datastack
    assert ask("service/datastack/table/nothing/dataset") == 404
    assert ask(f"service/nothing/table/{datastack}/dataset") == 404


# ── with logins ──────────────────────────────────────────────────────────────

OWNER, VIEWER, STRANGER, ADMIN, FRIEND = (letter * 32 for letter in "abcde")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthService]:
    users = {
        OWNER: user(11, groups=["lab"], brain=["view", "edit"]),
        VIEWER: user(12, groups=["others"], brain=["view"]),
        STRANGER: user(13, groups=["lab"], liver=["view", "edit"]),
        ADMIN: user(14, admin=True),
        FRIEND: user(15, groups=["lab"], brain=["view", "edit"]),
    }
    with auth_service(users) as running:
        monkeypatch.setenv("MATENGINE_AUTH_URL", running.url)
        yield running


@pytest.fixture
def pair(conn: Connection, tmp_path: Path, service: AuthService) -> Pair:
    made = Pair(conn, write_volume(tmp_path))
    service.datasets[made.name] = "brain"
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_tokens(pair: Pair, service: AuthService, capfd: pytest.CaptureFixture[str]) -> None:
    client = create_app().test_client()
    path = f"/info/api/v2/datastack/full/{pair.name}"
    assert client.get(path, headers=bearer(VIEWER)).status_code == 200
    assert client.get(f"{path}?middle_auth_token={VIEWER}").status_code == 200
    client.set_cookie("middle_auth_token", STRANGER)
    assert client.get(path).status_code == 403
    assert client.get(f"{path}?middle_auth_token={VIEWER}").status_code == 200
    assert client.get(f"{path}?middle_auth_token=x", headers=bearer(VIEWER)).status_code == 200
    client.delete_cookie("middle_auth_token")

    for headers, code, reason in [
        ({}, 401, "no_token"),
        (bearer("f" * 32), 401, "invalid_token"),
        ({"Authorization": f"Basic {VIEWER}"}, 400, "bad_auth_header"),
        ({"Authorization": "Bearer "}, 400, "bad_auth_header"),
        (bearer(STRANGER), 403, "missing_permission"),
    ]:
        answer = client.get(path, headers=headers)
        assert answer.status_code == code
        told: Any = answer.json
        assert (told["error"], told["code"]) == (reason, code)
        assert told["message"]
        login = f'Bearer realm="{service.url}/api/v1/authorize"'
        assert answer.headers.get("WWW-Authenticate") == (login if code == 401 else None)
        assert not any(t in answer.text for t in (VIEWER, STRANGER, "f" * 32))
    refused: Any = client.get(path, headers=bearer(STRANGER)).json
    assert refused["data"] == {"required_permission": "view", "auth_dataset": pair.name}
    assert VIEWER not in "".join(capfd.readouterr())


def test_answers_are_kept_for_a_while(pair: Pair, service: AuthService) -> None:
    client = create_app().test_client()
    path = f"/info/api/v2/datastack/full/{pair.name}"
    for _ in range(3):
        assert client.get(path, headers=bearer(VIEWER)).status_code == 200
    assert max(service.asked.values()) <= 2  # one, or two around the end of a period
    service.users[VIEWER]["permissions_v2"] = {}
    fresh = create_app().test_client()
    assert fresh.get(path, headers=bearer(VIEWER)).status_code == 403


def test_an_auth_service_out_of_order(pair: Pair, service: AuthService) -> None:
    client = create_app().test_client()
    service.broken = True
    answer = client.get("/info/api/v2/datastacks", headers=bearer(ADMIN))
    assert answer.status_code == 503
    service.broken = False
    assert client.get("/info/api/v2/datastacks", headers=bearer(ADMIN)).status_code == 200


def test_no_token_is_logged(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client = create_app().test_client()
    monkeypatch.setattr("matengine.api.auth._by_dataset", lambda found: 1 / 0)
    answer = client.get("/info/api/v2/datastacks", headers=bearer(VIEWER))
    assert answer.status_code == 500
    logged = "".join(capfd.readouterr())
    assert "ZeroDivisionError" in logged
    assert VIEWER not in logged


def test_open_to_all_is_what_tells_nothing(pair: Pair, service: AuthService) -> None:
    client = create_app().test_client()
    public = [
        *("/health/live", "/version", "/info/version", "/info/api/versions", "/schema/versions"),
        *("/segmentation/api/version", "/segmentation/api/versions", "/nglstate/api/v1/version"),
        *("/materialize/version", "/materialize/api/versions", "/schema/api/v2/type/synapse"),
    ]
    for path in public:
        assert client.get(path).status_code == 200, path
    assert service.asked.total() == 0
    closed = [
        *("/info/api/v2/datastacks", "/info/api/v2/aligned_volume", "/nglstate/api/v1/1", "/"),
        f"/materialize/api/v3/datastack/{pair.name}/versions",
        f"/segmentation/table/{pair.name}/info",
        f"/annotation/api/v2/aligned_volume/{pair.conn.info.dbname}/table",
    ]
    for path in closed:
        assert client.get(path).status_code == 401, path
    # the auth service is elsewhere
    assert client.get("/auth/api/v1/user/cache", headers=bearer(ADMIN)).status_code == 404
    assert client.get("/sticky_auth/settings/tokens").status_code == 404


def test_who_may_do_what(pair: Pair, service: AuthService) -> None:
    """Every user against every kind of request."""
    client = create_app().test_client()
    root = f"/annotation/api/v2/aligned_volume/{pair.conn.info.dbname}/table"

    def code(token: str, method: str, path: str, body: Any = None) -> int:
        data = None if body is None else json.dumps(body)
        return client.open(path, method=method, data=data, headers=bearer(token)).status_code

    def make(name: str, **permissions: str) -> None:
        metadata = {f"voxel_resolution_{a}": 1 for a in "xyz"} | {"description": "x"} | permissions
        body = {"table_name": name, "schema_type": "bound_tag", "metadata": metadata}
        assert code(OWNER, "POST", root, body) == 200

    make("mine", read_permission="PRIVATE", write_permission="PRIVATE")
    make("ours", read_permission="GROUP", write_permission="GROUP")
    make("everybodys", read_permission="PUBLIC", write_permission="PUBLIC")
    row = {"annotations": [{"pt": {"position": [1, 2, 2]}, "tag": "t"}]}
    users = (OWNER, FRIEND, VIEWER, STRANGER, ADMIN)

    def codes(method: str, path: str, body: Any = None) -> list[int]:
        return [code(token, method, path, body) for token in users]

    assert codes("GET", f"{root}/mine") == [200, 403, 403, 403, 200]
    assert codes("GET", f"{root}/ours/count") == [200, 200, 403, 403, 200]
    assert codes("GET", f"{root}/everybodys") == [200, 200, 200, 403, 200]
    assert codes("POST", f"{root}/mine/annotations", row) == [200, 403, 403, 403, 200]
    assert codes("POST", f"{root}/ours/annotations", row) == [200, 200, 403, 403, 200]
    assert codes("POST", f"{root}/everybodys/annotations", row) == [200, 200, 403, 403, 200]
    assert codes("PUT", f"/info/api/v2/datastack/{pair.name}", {}) == [403, 403, 403, 403, 200]
    assert codes("GET", f"/segmentation/table/{pair.name}/info") == [200, 200, 200, 403, 200]
    undo = f"/segmentation/api/v1/table/{pair.name}/undo"
    allowed = [answer != 403 for answer in codes("POST", undo, {"operation_id": 999})]
    assert allowed == [True, True, False, False, True]
    change = {"table_name": "everybodys", "metadata": {"description": "y"}}
    assert codes("PUT", root, change) == [200, 403, 403, 403, 200]
    assert codes("DELETE", f"{root}/everybodys") == [200, 403, 403, 403, 410]
    listed: Any = client.get(root, headers=bearer(FRIEND)).json
    assert "ours" in listed
    assert "mine" not in listed


def test_the_token_for_other_services(
    service: AuthService, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATENGINE_TOKEN", "9" * 32)
    elsewhere = Segmentation("seg", graph=service.url.removesuffix("/auth"))
    with pytest.raises(MatengineError):  # there is no chunkedgraph
        datastacks.open_graph(conn, elsewhere).roots([72057594037927937], now())
    assert service.shown == {"9" * 32}
