"""Requests to a server: its errors as ours, its Arrow streams whole or not at all."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from matengine.errors import (
    Conflict,
    Forbidden,
    Gone,
    Incomplete,
    Invalid,
    MatengineError,
    NotFound,
    Unauthorized,
    Unavailable,
    Unsupported,
)

# seconds to connect, and of silence: the first rows of a large answer take their time
TIMEOUT_S = (10.0, 600.0)
_METADATA = b"matengine"
_ERRORS: dict[int, type[MatengineError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    406: Incomplete,
    409: Conflict,
    410: Gone,
    501: Unsupported,
}
_AGAIN = Retry(3, backoff_factor=0.2, status_forcelist=(502, 503, 504), allowed_methods=("GET",))

Parameters = Mapping[str, Any]


class Server:
    """A server's materialization service, and the token that it is told.

    All methods raise errors of `matengine.errors`: what the server says, or Unavailable where it
    does not answer. What changes nothing is tried again a few times.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address.rstrip("/")
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_AGAIN))
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def json(
        self, method: str, *path: str | int, params: Parameters | None = None, body: Any = None
    ) -> Any:
        """The JSON answer below /materialize/api/v3; parts of the path are quoted."""
        with self._sent(method, path, params, body) as response:
            return response.json()

    def rows(
        self, method: str, *path: str | int, params: Parameters | None = None, body: Any = None
    ) -> "Rows":
        """The Arrow answer; it is read while it is iterated over."""
        return Rows(self, method, path, params, body)

    @contextmanager
    def _sent(
        self, method: str, path: tuple[str | int, ...], params: Parameters | None, body: Any
    ) -> Iterator[requests.Response]:
        parts = "/".join(quote(str(part), safe="") for part in path)
        try:
            with self._session.request(
                method,
                f"{self.address}/materialize/api/v3/{parts}",
                params=params,
                json=body,
                # buffers inside the stream; requests undoes no compression of the whole
                headers={"Accept-Encoding": "lz4, zstd"},
                timeout=TIMEOUT_S,
                stream=True,
            ) as response:
                if response.status_code >= 400:
                    raise _error(response)
                yield response
        except (requests.RequestException, OSError) as error:
            raise Unavailable(
                f"The server {self.address} does not answer as it should: {error}"
            ) from error


class Rows:
    """Record batches of an answer, read once.

    `told` is what the server says of it with the first batch: `translated_root_ids`, `warnings`;
    `end` when all are there: `rows`, `truncated`, `cursor`.
    """

    def __init__(
        self,
        server: Server,
        method: str,
        path: tuple[str | int, ...],
        params: Parameters | None,
        body: Any,
    ) -> None:
        self._request = (method, path, params, body)
        self._server = server
        self.schema: pa.Schema | None = None
        self.told: dict[str, Any] = {}
        self.end: dict[str, Any] = {}

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Raises Unavailable where the answer breaks off."""
        with self._server._sent(*self._request) as response:
            response.raw.auto_close = False  # the reader asks once more at the end
            try:
                reader = pa.ipc.open_stream(response.raw)
                self.schema = reader.schema.remove_metadata()
                self.told = json.loads((reader.schema.metadata or {}).get(_METADATA, b"{}"))
                while True:
                    batch, told = reader.read_next_batch_with_custom_metadata()
                    if told and _METADATA in told:
                        self.end = json.loads(told[_METADATA])
                    if batch.num_rows:
                        yield batch.replace_schema_metadata(None)
            except StopIteration:
                pass
            except (pa.ArrowException, OSError) as error:
                raise Unavailable(f"The answer broke off: {error}") from error
        if "rows" not in self.end:
            raise Unavailable("The answer broke off before its end.", "Ask again.")

    def table(self) -> pa.Table:
        """All of them."""
        batches = list(self)
        return pa.Table.from_batches(batches, self.schema)


def _error(response: requests.Response) -> MatengineError:
    try:
        told = response.json()
        message, hint = str(told["message"]), told.get("hint")
    except (ValueError, KeyError, TypeError):
        message, hint = f"The server answered {response.status_code}.", None
    kind = _ERRORS.get(response.status_code)
    if kind is None:
        kind = Invalid if response.status_code < 500 else Unavailable
    return kind(message, hint)
