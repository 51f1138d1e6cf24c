"""A PyChunkedGraph server as a chunkedgraph of the engine.

The server's time rules differ in single milliseconds from one method to the next, and its log
lists an operation under the time of writing. Here every method keeps the protocol's half-open
rule; where that needs more than the server's answer, creation times of roots decide.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import requests
from numpy.typing import NDArray

from matengine.errors import MatengineError, NotFound, Unavailable
from matengine.segmentation.chunkedgraph.history import History, read_history
from matengine.segmentation.chunkedgraph.http import Requester, in_parallel, seconds
from matengine.segmentation.chunkedgraph.protocol import DeltaRoots, Ids, IdsLike, Lineage
from matengine.times import floor_ms, from_ms, parse_time, to_ms

# Ids of one request: binary ones are cheap, lists cost the server a read each, and lineages
# a search each
BINARY_IDS = 100_000
LISTED_IDS = 20_000
LINEAGE_IDS = 1_000

# An edit appears under the time of its lock, which a server holds for three minutes at most
SETTLE = timedelta(minutes=3)


class HttpGraph:
    """Reads the chunkedgraph `table` of the server at `server` (scheme://host); see protocol.py.

    Threads may share it. `requests` counts the HTTP requests sent, repeated ones too. All
    methods raise Unavailable where the server fails for longer than the retries (at most
    `deadline_s` seconds a request), and Invalid or NotFound, with its words, where it refuses.
    """

    def __init__(
        self,
        server: str,
        table: str,
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        deadline_s: float = 300.0,
        settle: timedelta = SETTLE,
        session: requests.Session | None = None,
    ) -> None:
        self.settle = settle
        self._http = Requester(
            f"{server.rstrip('/')}/segmentation/api/v1/table/{table}",
            token=token,
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            session=session,
        )

    @property
    def requests(self) -> int:
        """The number of HTTP requests sent so far."""
        return self._http.sent

    def roots(self, supervoxels: IdsLike, at: datetime) -> Ids:
        """See ChunkedGraph.roots. Each distinct id is asked for once."""
        ids, place = np.unique(np.asarray(supervoxels, np.int64), return_inverse=True)
        params = {"timestamp": seconds(at)}
        found = [np.zeros(0, np.int64)]
        known = ids[ids != 0]
        found += in_parallel(lambda part: self._roots(part, params), _parts(known, BINARY_IDS))
        roots = np.zeros(len(ids), np.int64)
        roots[ids != 0] = np.concatenate(found)
        # a server hands ids without a parent back as they are where all of a request lack one
        roots[roots == ids] = 0
        return roots[place]

    def delta_roots(self, past: datetime, future: datetime) -> DeltaRoots:
        """See ChunkedGraph.delta_roots.

        The server filters by when an operation was written, which is up to `settle` after its
        time, so later ones are asked for too and dropped by their roots' creation time.
        """
        first, last = to_ms(past) + 1, to_ms(future)
        empty = np.zeros(0, np.int64)
        if first > last:
            return DeltaRoots(empty, empty)
        params = {
            "timestamp_past": seconds(past, later_ms=1),
            "timestamp_future": seconds(future + self.settle),
        }
        answer = self._json("GET", "delta_roots", params)
        old, new = (_unique(answer[name]) for name in ("old_roots", "new_roots"))
        created = self.root_timestamps(new)
        for other in (new[created < first], new[created > last]):
            old = np.setdiff1d(old, self._formers(other))
        return DeltaRoots(old, new[(created >= first) & (created <= last)])

    def is_latest(self, roots: IdsLike, at: datetime) -> NDArray[np.bool_]:
        """See ChunkedGraph.is_latest.

        PyChunkedGraph counts what happened before a time, so it is asked one millisecond later;
        our own server keeps the half-open rule and goes by `alive_at`.
        """
        params = {"timestamp": seconds(at, later_ms=1), "alive_at": seconds(at)}

        def ask(part: Ids) -> list[bool]:
            answer = self._json("POST", "is_latest_roots", params, {"node_ids": part.tolist()})
            return _whole(answer["is_latest"], part)

        ids = np.asarray(roots, np.int64)
        parts = in_parallel(ask, _parts(ids, LISTED_IDS))
        return np.array([latest for part in parts for latest in part], np.bool_)

    def root_timestamps(self, roots: IdsLike) -> Ids:
        """See ChunkedGraph.root_timestamps."""

        def ask(part: Ids) -> list[int]:
            body = {"node_ids": part.tolist()}
            answer = self._known(part, "POST", "root_timestamps", {"latest": "False"}, body)
            if len(answer["timestamp"]) != len(part):
                self._raise_unknown(part)
            return [round(1000 * t) for t in _whole(answer["timestamp"], part)]

        ids = np.asarray(roots, np.int64)
        parts = in_parallel(ask, _parts(ids, LISTED_IDS))
        return np.array([ms for part in parts for ms in part], np.int64)

    def lineage(
        self, roots: IdsLike, past: datetime | None = None, future: datetime | None = None
    ) -> Lineage:
        """See ChunkedGraph.lineage."""
        ids = np.unique(np.asarray(roots, np.int64))
        past_ms = None if past is None else to_ms(past)
        future_ms = None if future is None else to_ms(future)
        return self._history(ids, past_ms, future_ms).lineage(ids.tolist(), past_ms, future_ms)

    def past_ids(self, roots: IdsLike, past: datetime, future: datetime) -> dict[int, list[int]]:
        """See ChunkedGraph.past_ids; taken from the lineage, `future` makes no difference."""
        ids = np.unique(np.asarray(roots, np.int64))
        past_ms = to_ms(past)
        history = self._history(ids, past_ms, past_ms)
        return {root: history.ancestors_at(root, past_ms) for root in ids.tolist()}

    def latest_ids(self, roots: IdsLike, at: datetime) -> dict[int, list[int]]:
        """See ChunkedGraph.latest_ids; taken from the lineage."""
        ids = np.unique(np.asarray(roots, np.int64))
        at_ms = to_ms(at)
        history = self._history(ids, at_ms, at_ms)
        return {root: history.descendants_at(root, at_ms) for root in ids.tolist()}

    def leaves(self, root: int) -> Ids:
        """See ChunkedGraph.leaves."""
        answer = self._known(np.array([root], np.int64), "GET", f"node/{int(root)}/leaves")
        found = _unique(answer["leaf_ids"])
        if not len(found):
            raise NotFound(f"The chunkedgraph has no root {root}.")
        return found

    def oldest_timestamp(self) -> datetime:
        """See ChunkedGraph.oldest_timestamp: half a second before the server's first operation."""
        return floor_ms(parse_time(str(self._json("GET", "oldest_timestamp")["iso"])))

    def _roots(self, ids: Ids, params: Mapping[str, str]) -> Ids:
        content = self._http.send(
            "POST",
            "roots_binary",
            params=params,
            body=ids.astype("<i8").tobytes(),
            content_type="application/octet-stream",
        )
        if len(content) != 8 * len(ids):
            raise Unavailable(
                f"The chunkedgraph server gave {len(content)} bytes for {len(ids)} ids."
            )
        return np.frombuffer(content, "<i8").astype(np.int64)

    def _history(self, ids: Ids, past_ms: int | None, future_ms: int | None) -> History:
        """At least the lineage of roots between two times; NotFound for an unknown one."""
        params = {}
        if past_ms is not None:
            params["timestamp_past"] = seconds(from_ms(past_ms))
        if future_ms is not None:
            params["timestamp_future"] = seconds(from_ms(future_ms))

        def ask(part: Ids) -> Any:
            body = {"root_ids": part.tolist()}
            return self._known(part, "POST", "lineage_graph_multiple", params, body)

        history = read_history(in_parallel(ask, _parts(ids, LINEAGE_IDS)))
        missing = [root for root in ids.tolist() if root not in history.nodes]
        if missing:
            raise NotFound(f"The chunkedgraph has no root {missing[0]}.")
        return history

    def _formers(self, roots: Ids) -> Ids:
        """The roots that the operations which made `roots` retired."""
        if not len(roots):
            return roots
        before_ms = int(self.root_timestamps(roots).min()) - 1
        history = self._history(roots, before_ms, before_ms)
        return _unique([f for root in roots.tolist() for f in history.formers[root]])

    def _known(self, roots: Ids, method: str, path: str, *query: Any) -> Any:
        """An answer about roots; a server fails (500) for unknown ones, we raise NotFound."""
        try:
            return self._json(method, path, *query)
        except MatengineError as error:
            if error.status < 500:
                raise
            self._raise_unknown(roots)
            raise

    def _raise_unknown(self, roots: Ids) -> None:
        body = {"node_ids": roots.tolist()}
        answer = self._json("GET", "valid_nodes", None, body)
        unknown = np.setdiff1d(roots, _unique(answer["valid_roots"]))
        if len(unknown):
            raise NotFound(f"The chunkedgraph has no root {unknown[0]}.")

    def _json(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        content = self._http.send(
            method, path, params=params, body=None if body is None else orjson.dumps(body)
        )
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise Unavailable(f"The chunkedgraph server's answer to {path} is no JSON.") from None


def _parts(ids: Ids, size: int) -> list[Ids]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _unique(ids: Any) -> Ids:
    """Distinct ids, sorted; JSON may hold them as texts."""
    return np.unique(np.array([int(i) for i in ids], np.int64))


def _whole(answers: list[Any], ids: Ids) -> list[Any]:
    if len(answers) != len(ids):
        raise Unavailable(f"The chunkedgraph server gave {len(answers)} answers to {len(ids)} ids.")
    return answers
