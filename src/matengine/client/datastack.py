"""A datastack of a server: its tables at any moment, what differs, proof, runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, overload

import pyarrow as pa

from matengine.client.running import Run
from matengine.client.server import Rows, Server

At = int | str | datetime
"""A version's number or name, "newest", or an aware time."""

By = Mapping[str, Any]
"""Values by column."""

PAGE_ROWS = 500_000
_FILTERS = ("isin", "not_in", "equal", "greater", "less", "greater_equal", "less_equal", "box")
_KEYS = {
    "isin": "filter_in_dict",
    "not_in": "filter_notin_dict",
    "box": "filter_spatial_dict",
}


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
        segmentation: At | None = ...,
        columns: Sequence[str] | None = ...,
        limit: int | None = ...,
        resolution_nm: Sequence[float] | None = ...,
        frame: None = ...,
        **filters: By,
    ) -> pa.Table: ...
    @overload
    def query(
        self,
        table: str,
        *,
        at: At = ...,
        segmentation: At | None = ...,
        columns: Sequence[str] | None = ...,
        limit: int | None = ...,
        resolution_nm: Sequence[float] | None = ...,
        frame: Literal["pandas", "polars"],
        **filters: By,
    ) -> Any: ...
    def query(
        self,
        table: str,
        *,
        at: At = "newest",
        segmentation: At | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        resolution_nm: Sequence[float] | None = None,
        frame: Literal["pandas", "polars"] | None = None,
        **filters: By,
    ) -> Any:
        """Rows of a table, in the order of their ids, as an Arrow table or a data frame.

        at: the moment. segmentation: that of the root ids, where it is another. columns: only
        these. limit: at most so many rows. resolution_nm: nm of a unit of positions; None for
        voxels of the table. Filters, each {column: value}, must all
        hold: isin, not_in (lists), equal, greater, less, greater_equal, less_equal, and box
        ([[x, y, z], [x, y, z]] in voxels of the table).
        """
        body = _body(table, columns, resolution_nm, filters, segmentation)
        batches: list[pa.RecordBatch] = []
        schema = None
        for rows in self._pages(table, at, body, limit, PAGE_ROWS):
            batches += rows
            schema = rows.schema
        return _framed(pa.Table.from_batches(batches, schema), frame)

    def batches(
        self,
        table: str,
        *,
        at: At = "newest",
        segmentation: At | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        resolution_nm: Sequence[float] | None = None,
        page_rows: int = PAGE_ROWS,
        **filters: By,
    ) -> Iterator[pa.RecordBatch]:
        """As `query`, batch by batch, so that answers of any size fit; asked for in pages."""
        body = _body(table, columns, resolution_nm, filters, segmentation)
        for rows in self._pages(table, at, body, limit, page_rows):
            yield from rows

    def count(self, table: str, *, at: At = "newest", **filters: By) -> int:
        """How many rows pass the filters."""
        body = _body(table, None, None, filters, None)
        rows = self._asked(table, at, body, {"count": "true"}).table()
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

    def _asked(self, table: str, at: At, body: dict[str, Any], params: Mapping[str, Any]) -> Rows:
        path: tuple[str | int, ...] = ("datastack", self.name)
        if isinstance(at, datetime):
            body = body | {"table": table, "timestamp": at.isoformat()}
        else:
            path = (*path, "version", at, "table", table)
        return self.server.rows("POST", *path, "query", params=params, body=body)

    def _pages(
        self, table: str, at: At, body: dict[str, Any], limit: int | None, page_rows: int
    ) -> Iterator[Rows]:
        left = limit
        while True:
            asked = page_rows if left is None else min(page_rows, left)
            rows = self._asked(table, at, body | {"limit": asked}, {})
            yield rows
            cursor = rows.end["cursor"]
            left = None if left is None else left - rows.end["rows"]
            if cursor is None or left == 0:
                return
            body = body | {"cursor": cursor}


def _body(
    table: str,
    columns: Sequence[str] | None,
    resolution_nm: Sequence[float] | None,
    filters: Mapping[str, By],
    segmentation: At | None,
) -> dict[str, Any]:
    unknown = filters.keys() - set(_FILTERS)
    if unknown:
        raise TypeError(f"{min(unknown)} is no filter; there are {', '.join(_FILTERS)}")
    body: dict[str, Any] = {
        _KEYS.get(name, f"filter_{name}_dict"): {table: _plain(by)} for name, by in filters.items()
    }
    if columns is not None:
        body["select_columns"] = list(columns)
    if resolution_nm is not None:
        body["desired_resolution"] = list(resolution_nm)
    if segmentation is not None:
        time = segmentation.isoformat() if isinstance(segmentation, datetime) else segmentation
        body["segmentation"] = time
    return body


def _plain(by: By) -> dict[str, Any]:
    """Values as JSON has them, also where they came as arrays."""
    return {
        column: value.tolist() if hasattr(value, "tolist") else value
        for column, value in by.items()
    }


def _framed(table: pa.Table, frame: str | None) -> Any:
    if frame is None:
        return table
    if frame == "pandas":
        return table.to_pandas()
    if frame == "polars":
        import polars

        return polars.from_arrow(table)
    raise TypeError(f"{frame!r} is no frame: 'pandas' or 'polars'")
