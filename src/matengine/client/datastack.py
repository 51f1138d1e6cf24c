"""A datastack of a server: its tables at any moment, what differs, proof, runs."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Unpack, overload

import pyarrow as pa

from matengine.client.question import Asked, At, Question, compose
from matengine.client.running import Run
from matengine.client.server import Rows, Server

PAGE_ROWS = 500_000


def connect(server: str, datastack: str, token: str | None = None) -> "Datastack":
    """A datastack of the server at an address such as http://localhost:8000.

    Raises NotFound where there is none of this name, Unauthorized and Forbidden as the server
    says.
    """
    found = Datastack(Server(server, token), datastack)
    found.versions()
    return found


@dataclass(frozen=True)
class Datastack:
    """What a server has of a datastack. All methods raise errors of `matengine.errors`."""

    server: Server
    name: str

    def versions(self) -> list[dict[str, Any]]:
        """What is told of each version, oldest first; empty where there is none."""
        told = self._json("GET", "metadata")
        return [version for version in told if version["version"]]

    def tables(self, at: int | str = "newest") -> list[dict[str, Any]]:
        """What is told of each annotation table of a version."""
        found: list[dict[str, Any]] = self._json("GET", "version", at, "tables", "metadata")
        return found

    @overload
    def query(
        self,
        table: str,
        *,
        at: At = ...,
        limit: int | None = ...,
        frame: None = ...,
        **asked: Unpack[Asked],
    ) -> pa.Table: ...
    @overload
    def query(
        self,
        table: str,
        *,
        at: At = ...,
        limit: int | None = ...,
        frame: Literal["pandas", "polars"],
        **asked: Unpack[Asked],
    ) -> Any: ...
    def query(
        self,
        table: str,
        *,
        at: At = "newest",
        limit: int | None = None,
        frame: Literal["pandas", "polars"] | None = None,
        **asked: Unpack[Asked],
    ) -> Any:
        """Rows of a table or view, in the order of their ids, as an Arrow table or a data frame.

        at: the moment. limit: at most so many rows. asked: see `Asked`. Root ids that were
        translated are told in the metadata of the schema of an Arrow table, as JSON, and in
        `attrs` of a pandas data frame: `translated_root_ids`, {given: [asked for]}. What else is
        to be known of the answer is a Python warning.
        """
        batches: list[pa.RecordBatch] = []
        rows = None
        for rows in self._pages(compose(table, at, asked), limit, PAGE_ROWS):
            batches += rows
        assert rows is not None  # there is a page, if an empty one
        translated = rows.told.get("translated_root_ids", {})
        return _framed(pa.Table.from_batches(batches, rows.schema), frame, translated)

    def batches(
        self,
        table: str,
        *,
        at: At = "newest",
        limit: int | None = None,
        page_rows: int = PAGE_ROWS,
        **asked: Unpack[Asked],
    ) -> Iterator[pa.RecordBatch]:
        """As `query`, batch by batch, so that answers of any size fit; asked for in pages."""
        for rows in self._pages(compose(table, at, asked), limit, page_rows):
            yield from rows

    def count(self, table: str, *, at: At = "newest", **asked: Unpack[Asked]) -> int:
        """How many rows pass the filters."""
        rows = self._rows(compose(table, at, asked).counting()).table()
        return int(rows.column(0)[0].as_py())

    def diff(
        self,
        table: str,
        old: int | str,
        new: int | str = "now",
        *,
        roots: Sequence[int] | None = None,
        follow: bool = False,
    ) -> pa.Table:
        """The rows that differ between two versions: added, removed, changed.

        old, new: numbers or names, "newest", or "now" for what is up to date without a version.
        roots: only rows that show one of them; `follow` takes what they were and became too.
        """
        params: dict[str, Any] = {"table": table, "old": old, "new": new}
        if roots is not None:
            params |= {"root": list(roots), "follow": str(follow).lower()}
        return self.server.rows("GET", "datastack", self.name, "diff", params=params).table()

    def verify(self, version: int | str = "newest") -> dict[str, Any]:
        """Whether a version is what was published: `right`, and for each of its `tables` what was
        recorded and what its rows give."""
        found: dict[str, Any] = self._json("GET", "version", version, "verify")
        for table in found["tables"]:
            for side in ("recorded", "found"):
                table[side]["fingerprint"] = int(table[side]["fingerprint"])
        return found

    def history(self, table: str, row_id: int) -> dict[str, Any]:
        """All that was ever known of a row: `chain` and `shown`."""
        found: dict[str, Any] = self._json("GET", "table", table, "row", row_id, "history")
        return found

    def lineage(
        self, root_id: int, *, past: datetime | None = None, future: datetime | None = None
    ) -> dict[str, Any]:
        """What a root came from and became: `roots` and `links`."""
        ends = {"past": past, "future": future}
        params = {name: time.isoformat() for name, time in ends.items() if time}
        found: dict[str, Any] = self._json("GET", "root", root_id, "lineage", params=params)
        return found

    def runs(self, limit: int = 50) -> list[Run]:
        """The latest runs, newest first."""
        found = self._json("GET", "runs", params={"limit": limit})
        return [Run.read(self.server, told) for told in found]

    def run(self, run_id: int) -> Run:
        """One run."""
        return Run.read(self.server, self._json("GET", "runs", run_id))

    def start(self, workflow: str, table: str | None = None, **parameters: Any) -> Run | None:
        """Start a run: complete_workflow, update_database, update_roots, ingest_annotations, …

        parameters: such as days_to_expire=30. None where nothing is left to do, as with
        create_frozen.
        """
        path = ("materialize", "run", workflow, "datastack", self.name)
        told = self.server.json("POST", *path, *([table] if table else []), body=parameters)
        return None if told["run_id"] is None else self.run(told["run_id"])

    def _json(self, method: str, *path: str | int, params: Mapping[str, Any] | None = None) -> Any:
        return self.server.json(method, "datastack", self.name, *path, params=params)

    def _rows(self, question: Question) -> Rows:
        path = ("datastack", self.name, *question.path)
        return self.server.rows("POST", *path, params=question.params, body=question.body)

    def _pages(self, question: Question, limit: int | None, page_rows: int) -> Iterator[Rows]:
        left = limit
        told: set[str] = set()
        while True:
            asked = page_rows if left is None else min(page_rows, left)
            rows = self._rows(question.saying(limit=asked))
            yield rows
            for text in rows.told.get("warnings", ()):
                if text not in told:
                    warnings.warn(text, stacklevel=3)
                told.add(text)
            cursor = rows.end["cursor"]
            left = None if left is None else left - rows.end["rows"]
            if cursor is None or left == 0:
                return
            question = question.saying(cursor=cursor)


def _framed(table: pa.Table, frame: str | None, translated: Mapping[str, list[int]]) -> Any:
    """`translated` goes with it where there is a place for it."""
    if frame is None:
        told = {"translated_root_ids": json.dumps(translated)} if translated else None
        return table.replace_schema_metadata(told)
    if frame == "pandas":
        found = table.to_pandas()
        if translated:
            found.attrs["translated_root_ids"] = {int(root): i for root, i in translated.items()}
        return found
    if frame == "polars":
        import polars

        return polars.from_arrow(table)
    raise TypeError(f"{frame!r} is no frame: 'pandas' or 'polars'")
