"""A CAVE auth service of a few users, with the routes that other services ask."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server


@dataclass
class AuthService:
    """`users`: token -> user. `datasets`: datastack -> the name that permissions use.

    `asked` counts requests by path, `shown` are the tokens that came.
    """

    users: dict[str, dict[str, Any]]
    datasets: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    shown: set[str] = field(default_factory=set)
    broken: bool = False
    url: str = ""

    def app(self) -> Flask:
        app = Flask("auth_service")

        @app.before_request
        def note() -> Response | None:
            self.asked[request.path] += 1
            kind, _, token = request.headers.get("Authorization", "").partition(" ")
            assert kind == "Bearer"
            self.shown.add(token)
            if self.broken:
                return Response("<html>not today</html>", 200)
            return None if token in self.users else Response("invalid", 401)

        @app.get("/auth/api/v1/user/cache")
        def who() -> Response:
            token = request.headers["Authorization"].partition(" ")[2]
            return jsonify(self.users[token])

        @app.get("/auth/api/v1/user/<int:user>/permissions")
        def permissions(user: int) -> Any:
            found = [u for u in self.users.values() if u["id"] == user]
            return jsonify(found[0]) if found else ("", 404)

        @app.get("/auth/api/v1/service/datastack/table/<table>/dataset")
        def dataset(table: str) -> Any:
            return jsonify(self.datasets[table]) if table in self.datasets else ("", 404)

        return app


def user(number: int, *, admin: bool = False, groups: list[str] | None = None, **v2: Any) -> Any:
    """A user as the service tells it; `v2`: dataset -> what the user may do."""
    return {
        "id": number,
        "name": f"user {number}",
        "admin": admin,
        "groups": groups or [],
        "permissions": {},
        "permissions_v2": v2,
    }


@contextmanager
def auth_service(users: dict[str, dict[str, Any]]) -> Iterator[AuthService]:
    """The service at a free port of this machine, as long as the context lasts."""
    service = AuthService(users)
    server = make_server("127.0.0.1", 0, service.app(), threaded=True)
    service.url = f"http://127.0.0.1:{server.port}/auth"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
