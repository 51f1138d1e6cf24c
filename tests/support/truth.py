"""What the tables of a dataset folder hold at a time, out of its files alone.

Lives, positions, values and supervoxels are the folder's; roots are asked of the chunkedgraph.
"""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from matengine.engine import schemas
from matengine.engine.runs import engine as runs_engine
from matengine.engine.runs import runs
from matengine.engine.schemas import Kind
from matengine.engine.versions import epoch
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.storage.connections import Connection, conninfo_of
from matengine.testing.queries import MemoryRelation, Tables


@dataclass
class Truth:
    """A dataset folder that was imported; `conn` is open to its aligned volume."""

    dataset: Path
    conn: Connection
    datastack: str
    segmentation: str
    _known: dict[Any, MemoryRelation] = field(default_factory=dict)

    @property
    def graph(self) -> LocalGraph:
        return LocalGraph(self.conn, self.segmentation)

    def freeze(self, times: Iterable[datetime]) -> None:
        """A version of each time, in this order."""
        for at in times:
            run_id = epoch.start(self.conn, self.datastack, "complete", at=at, publish_version=True)
            runs_engine.drive(conninfo_of(self.conn), run_id)
            run = runs.get(self.conn, run_id)
            self.conn.commit()
            assert run.status == "done", run.error

    def tables(self, time: datetime, roots_at: datetime | None = None) -> Tables:
        """All tables at a time; `roots_at`: the roots are those of another time."""
        toml = tomllib.loads((self.dataset / "datastack.toml").read_text())
        found = {}
        for table in toml["table"]:
            key = (table["name"], time, roots_at)
            if key not in self._known:
                self._known[key] = self._relation(table, time, roots_at or time)
            found[table["name"]] = self._known[key]
        return found

    def _relation(
        self, table: dict[str, Any], time: datetime, roots_at: datetime
    ) -> MemoryRelation:
        file = pq.read_table(self.dataset / table["file"])
        rows = [
            row
            for row in file.to_pylist()
            if row["created"] <= time and (row["deleted"] is None or time < row["deleted"])
        ]
        points = [c.removesuffix("_x") for c in file.column_names if c.endswith("_position_x")]
        missing = [
            column.name
            for column in schemas.flat_columns(schemas.get(table["schema"]))
            if column.kind is Kind.GEOMETRY and column.name not in points
        ]
        ids = [c.removeprefix("expected_") for c in file.column_names if "expected_" in c]
        roots = {c: self._roots([row[f"expected_{c}"] for row in rows], roots_at) for c in ids}
        shown = []
        for place, row in enumerate(rows):
            new = dict(_own_fields(row)) | {"valid": True}
            new |= dict.fromkeys(missing)
            for point in points:
                new[point] = tuple(row[f"{point}_{axis}"] for axis in "xyz")
            for column in ids:
                new[column] = row[f"expected_{column}"]
                new[_root(column)] = roots[column][place]
            shown.append(new)
        fields = [name for name, _ in _own_fields(dict.fromkeys(file.column_names))]
        of_segmentation = [name for c in ids for name in (c, _root(c))]
        return MemoryRelation(
            ("valid", *fields, *points, *missing, *of_segmentation),
            frozenset([*points, *missing]),
            frozenset(of_segmentation),
            tuple(table["voxel_resolution_nm"]),
            tuple(shown),
        )

    def _roots(self, supervoxels: list[int], at: datetime) -> list[int]:
        found: list[int] = self.graph.roots(np.array(supervoxels, np.int64), at).tolist()
        return found


def _root(column: str) -> str:
    return column.replace("supervoxel_id", "root_id")


def _own_fields(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is neither about the row's life nor about its points."""
    for name, value in row.items():
        about_points = "_position_" in name or name.startswith("expected_")
        if not about_points and name not in ("deleted", "superceded_id"):
            yield name, value
