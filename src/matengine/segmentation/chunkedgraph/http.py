"""Requests to a chunkedgraph server: kept alive, tried again, given up in time."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter

from matengine.errors import Conflict, Gone, Invalid, MatengineError, NotFound, Unavailable
from matengine.times import to_ms

PARALLEL = 4
ATTEMPTS = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0
CONNECT_TIMEOUT_S = 10.0
_PIECE = 1 << 18
_PERMANENT: dict[int, type[MatengineError]] = {404: NotFound, 409: Conflict, 410: Gone}

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Requester:
    """Sends requests below one address and returns whole bodies; threads may share it.

    token: sent as a bearer token. timeout_s: the longest silence of the server. deadline_s: the
    longest time of one request with all its repetitions. Every request must be safe to repeat.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None,
        timeout_s: float,
        deadline_s: float,
        session: requests.Session | None,
    ) -> None:
        self.address = address.rstrip("/")
        self.sent = 0
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._session = session or _session()
        self._token = token
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The answer's body.

        Raises Unavailable where the server stays away, is overloaded or fails (429, 5xx) after
        the last attempt; NotFound, Conflict, Gone or Invalid, at once, where it refuses.
        """
        deadline = time.monotonic() + self._deadline_s
        for attempt in range(ATTEMPTS):
            wait_s = 0.0
            try:
                status, headers, content = self._once(
                    method, path, params, body, content_type, deadline
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                reason = f"does not answer ({type(error).__name__})"
            else:
                if status == 200:
                    return content
                if status != 429 and status < 500:
                    raise self._refusal(status, content)
                reason = f"answers {status}: {_message(content)}"
                wait_s = _seconds(headers.get("Retry-After"))
            # exponential with jitter, so that many clients do not come back at once
            usual_s = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.5)
            wait_s = max(wait_s, usual_s)
            if attempt + 1 == ATTEMPTS or time.monotonic() + wait_s >= deadline:
                break
            time.sleep(wait_s)
        raise Unavailable(f"The chunkedgraph server {self.address} {reason}.", "Try again later.")

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str,
        deadline: float,
    ) -> tuple[int, Mapping[str, str], bytes]:
        with self._lock:
            self.sent += 1
        left_s = max(deadline - time.monotonic(), 0.001)
        with self._session.request(
            method,
            f"{self.address}/{path}",
            params=params,
            data=body,
            headers={"Content-Type": content_type} if body is not None else None,
            auth=self._authorize,
            timeout=(min(CONNECT_TIMEOUT_S, left_s), min(self._timeout_s, left_s)),
            allow_redirects=False,
            stream=True,
        ) as response:
            pieces = []
            # what has come, not a full piece
            while piece := response.raw.read1(_PIECE, decode_content=True):
                pieces.append(piece)
                # the read timeout bounds one silence, not a body that trickles in
                if time.monotonic() > deadline:
                    raise requests.Timeout("the deadline passed")
            return response.status_code, response.headers, b"".join(pieces)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Also without a token, so that a password of ~/.netrc never goes out instead."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _refusal(self, status: int, content: bytes) -> MatengineError:
        where = f"The chunkedgraph server {self.address}"
        if status in (401, 403) or 300 <= status < 400:
            return Invalid(
                f"{where} lets us not in ({status}: {_message(content)}).",
                "Does it need a token, and may this one read the graph?",
            )
        kind = _PERMANENT.get(status, Invalid)
        return kind(f"{where} refuses ({status}: {_message(content)}).")


def in_parallel(ask: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """`ask` of every item, a few at once, answers in order; the first error ends it."""
    if len(items) <= 1:
        return [ask(item) for item in items]
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="chunkedgraph") as pool:
        futures = [pool.submit(ask, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def seconds(time: datetime, later_ms: int = 0) -> str:
    """A time as servers read it: decimal seconds since 1970, exact to the millisecond."""
    return f"{Decimal(to_ms(time) + later_ms).scaleb(-3):f}"


def _session() -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=PARALLEL)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _seconds(retry_after: str | None) -> float:
    text = retry_after or ""
    return min(float(text), LONGEST_WAIT_S) if text.isdigit() else 0.0


def _message(content: bytes) -> str:
    """What the server says about an error: its JSON message, else the start of its text."""
    text = content.decode("utf-8", "replace")
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
        text = str(orjson.loads(content)["message"])
    return " ".join(text.split())[:300].rstrip(".") or "no message"
