"""The CAVE auth service, asked who a token belongs to and what its user may do.

Answers are kept for some minutes, so what changes there is seen here after that time at most.
Tokens are never logged, and never part of an error.
"""

import time
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests

from matengine import settings
from matengine.errors import Invalid, Unavailable

KEEP_S = 300
MAX_KEPT = 2000
TIMEOUT_S = (5.0, 15.0)  # to connect, and of silence
# datastacks are what services of this kind call a table
_NAMESPACE = "datastack"


class AuthServer:
    """The auth service at `url` (such as https://HOST/auth). Threads may share it.

    All methods raise Unavailable where it does not answer as it should.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise Invalid(
                "MATENGINE_AUTH_URL is no address of an auth service.",
                "Write it as https://HOST/auth.",
            )
        self.url = url.rstrip("/")
        self._kept = lru_cache(MAX_KEPT)(self._ask)

    @property
    def login(self) -> str:
        """Where people log in."""
        return f"{self.url}/api/v1/authorize"

    def user(self, token: str) -> dict[str, Any] | None:
        """The user of a token; None where the token is not, or no longer, good."""
        found = self._recent("user/cache", token)
        if found is not None and not (isinstance(found, dict) and isinstance(found.get("id"), int)):
            raise self._silent("no user")
        return found

    def dataset(self, datastack: str, token: str) -> str:
        """The name under which permissions for a datastack are given; its own where there is no
        other."""
        path = f"service/{_NAMESPACE}/table/{quote(datastack, safe='')}/dataset"
        found = self._recent(path, settings.token() or token)
        return found if isinstance(found, str) else datastack

    def groups(self, user_id: str, token: str) -> frozenset[str]:
        """The groups of a user; none where the service does not tell."""
        path = f"user/{quote(user_id, safe='')}/permissions"
        found = self._recent(path, settings.token() or token)
        named = found.get("groups") if isinstance(found, dict) else None
        return frozenset(str(group) for group in named or [])

    def _recent(self, path: str, token: str) -> Any:
        return self._kept(path, token, int(time.monotonic() // KEEP_S))

    def _ask(self, path: str, token: str, period: int) -> Any:
        """The answer as JSON; None where it is refused. `period` only lets answers grow old."""

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # a function, because a password of ~/.netrc would take the place of a plain header
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        try:
            answer = requests.get(
                f"{self.url}/api/v1/{path}",
                auth=authorize,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # not its words: they may hold what was sent
            raise self._silent(type(error).__name__) from None
        if answer.status_code == 200:
            try:
                return orjson.loads(answer.content)
            except orjson.JSONDecodeError:
                raise self._silent("no JSON") from None
        if answer.status_code in (400, 401, 403, 404):
            return None
        raise self._silent(f"status {answer.status_code}")

    def _silent(self, why: str) -> Unavailable:
        return Unavailable(f"The auth service does not answer as it should ({why}).", "Try again.")
