"""Who sends a request: whoever is at this machine, or the user of a token of an auth service."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, g, request

from matengine import settings
from matengine.api import errors
from matengine.api.auth_server import AuthServer
from matengine.engine.access import LOCAL, User
from matengine.errors import Forbidden, Invalid, Unauthorized

# the name of a cookie and of a query parameter
TOKEN = "middle_auth_token"
_KEY = "matengine_auth"
_VERSIONS = re.compile(r"/\w+(/api(/v\d)?)?/versions?/?")
_LEVELS = {1: frozenset({"view"}), 2: frozenset({"view", "edit"})}


@dataclass(frozen=True)
class Logins:
    """How an application knows its users. server: None where logins are off."""

    server: AuthServer | None = None


class Rights(Mapping[str, frozenset[str]]):
    """What a user may do with each datastack; the auth service tells, when it matters, under
    which name permissions for the datastack are given."""

    def __init__(self, server: AuthServer, token: str, by_dataset: dict[str, frozenset[str]]):
        self._server, self._token, self._by_dataset = server, token, by_dataset

    def __getitem__(self, datastack: str) -> frozenset[str]:
        return self._by_dataset[self._server.dataset(datastack, self._token)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_dataset)

    def __len__(self) -> int:
        return len(self._by_dataset)


class Groups(Mapping[str, frozenset[str]]):
    """The groups of other users by id, asked for when they matter."""

    def __init__(self, server: AuthServer, token: str):
        self._server, self._token = server, token

    def __getitem__(self, user_id: str) -> frozenset[str]:
        return self._server.groups(user_id, self._token)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def install(app: Flask, *, others: bool, without: Collection[str]) -> None:
    """Settle from the environment how users are known, and let nobody in who is not.

    others: whether more than this machine may call. Where there are no logins that must be wanted
    (MATENGINE_AUTH=off); raises Invalid where it is not. without: the blueprints that need no
    login.
    """
    mode, url = settings.auth()
    if mode not in ("", "off"):
        raise Invalid(
            f"MATENGINE_AUTH cannot be '{mode}'.",
            "Name an auth service in MATENGINE_AUTH_URL, or set MATENGINE_AUTH=off.",
        )
    if mode == "off" and url:
        raise Invalid("MATENGINE_AUTH=off and MATENGINE_AUTH_URL contradict each other.")
    if others and not mode and not url:
        raise Invalid(
            "Other machines could use this server, and it has no logins.",
            "Name an auth service in MATENGINE_AUTH_URL, or set MATENGINE_AUTH=off if all who can "
            "reach it may read and write everything.",
        )
    app.extensions[_KEY] = Logins(AuthServer(url) if url else None)
    app.register_error_handler(Unauthorized, _unknown)
    app.register_error_handler(Forbidden, _forbidden)
    if url:
        app.before_request(lambda: _require_login(without))
    elif not mode:
        app.before_request(_only_this_machine)


def logins(app: Flask) -> bool:
    """Whether the application has logins."""
    return app.extensions[_KEY].server is not None


def current_user() -> User:
    """The user of the request that is being answered.

    Raises Unauthorized without a good token, Invalid for a header that is none, Unavailable where
    the auth service does not answer. Without logins everybody is `LOCAL`.
    """
    server: AuthServer | None = current_app.extensions[_KEY].server
    if server is None:
        return LOCAL
    if "user" not in g:
        g.user = _user_of(server, _token())
    user: User = g.user
    return user


def _require_login(without: Collection[str]) -> None:
    """Nobody gets further without a good token, but to ask for versions."""
    if request.method == "OPTIONS" or request.blueprint is None or request.blueprint in without:
        return
    if not _VERSIONS.fullmatch(request.path):
        current_user()


def _token() -> str:
    """The token of the request: header before query before cookie."""
    header = request.headers.get("Authorization")
    if header is not None:
        kind, _, token = header.partition(" ")
        if kind != "Bearer" or not token.strip():
            raise Unauthorized(
                "The Authorization header is not of the form 'Bearer TOKEN'.",
                reason="bad_auth_header",
            )
        return token.strip()
    token = request.args.get(TOKEN) or request.cookies.get(TOKEN) or ""
    if not token:
        raise Unauthorized("You are not logged in.", _login_hint(), reason="no_token")
    return token


def _user_of(server: AuthServer, token: str) -> User:
    found = server.user(token)
    if found is None:
        raise Unauthorized("This token is not good.", _login_hint(), reason="invalid_token")
    return User(
        int(found["id"]),
        str(found.get("name") or found["id"]),
        admin=bool(found.get("admin")),
        groups=frozenset(str(group) for group in found.get("groups") or []),
        datastacks=Rights(server, token, _by_dataset(found)),
        shared=Groups(server, token),
    )


def _by_dataset(found: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Permissions by dataset, of either form in which the service tells them."""
    levels = found.get("permissions") or {}
    rights = {name: _LEVELS.get(level, frozenset()) for name, level in levels.items()}
    named = found.get("permissions_v2") or {}
    return rights | {name: frozenset(what) for name, what in named.items()}


def _login_hint() -> str:
    server: AuthServer | None = current_app.extensions[_KEY].server
    return f"Get a token at {server.login}." if server else "Logins are off."


def _unknown(error: Unauthorized) -> Response:
    server: AuthServer | None = current_app.extensions[_KEY].server
    code = 400 if error.reason == "bad_auth_header" else 401
    answer = errors.answer(code, error.message, error.hint, error=error.reason)
    if server and code == 401:
        answer.headers["WWW-Authenticate"] = f'Bearer realm="{server.login}"'
    return answer


def _forbidden(error: Forbidden) -> Response:
    return errors.answer(
        403, error.message, error.hint, error="missing_permission", data=error.data
    )


def _only_this_machine() -> None:
    """Who names this server rightly may still call from elsewhere."""
    caller = request.remote_addr or ""
    if caller and caller != "::1" and not caller.removeprefix("::ffff:").startswith("127."):
        raise Forbidden(
            "This server has no logins, so it answers its own machine only.",
            "Set MATENGINE_AUTH_URL, or MATENGINE_AUTH=off, where it runs.",
        )
