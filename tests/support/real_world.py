"""Real datasets as they were at any time, out of their files alone: no chunkedgraph is asked.

Roots are found by brute force (`Replayed`); the engine is asked for the name of each object once.
"""

import shutil
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from furnishing import furnish
from replayed import Replayed
from served import Served
from shape_frames import Frames
from truth import Truth

from matengine.datasets.folder import open_dataset
from matengine.datasets.importer import import_dataset
from matengine.engine import schemas
from matengine.engine.schemas import Kind
from matengine.storage import connections
from matengine.testing.world import Names
from matengine.times import floor_ms, from_ms, to_ms


@dataclass
class BruteTruth(Truth):
    """With roots by brute force; edits that are made later are told by `replayed.apply`."""

    replayed: Replayed = field(kw_only=True)
    names: Names = field(default_factory=Names)
    _files: dict[str, pd.DataFrame] = field(default_factory=dict)

    def frames(self, time: datetime, roots_at: datetime | None = None) -> Frames:
        """The tables at a time, roots as of another, if given; positions are three columns."""
        found = {}
        for table in tables_told(self.dataset):
            schema = schemas.flat_columns(schemas.get(table["schema"]))
            points = sorted(c.name for c in schema if c.kind is Kind.GEOMETRY)
            rows = self._rows(table, points)
            shown = rows[(rows["created"] <= time) & ~(rows["deleted"] <= time)]
            frame = shown.drop(columns=["deleted", "superceded_id"]).reset_index(drop=True)
            for column in [c for c in frame if c.endswith("supervoxel_id")]:
                ids, place = np.unique(frame[column], return_inverse=True)
                roots = np.array(self._roots(ids.tolist(), roots_at or time), np.int64)
                frame[column.replace("supervoxel_id", "root_id")] = roots[place]
            frame.attrs |= {"nm": table["voxel_resolution_nm"], "points": points}
            found[table["name"]] = frame
        return found

    def _rows(self, table: dict[str, Any], points: list[str]) -> pd.DataFrame:
        """All rows of a file as clients see them, by id."""
        if table["name"] not in self._files:
            rows = pq.read_table(self.dataset / table["file"]).to_pandas()
            rows.columns = [c.removeprefix("expected_") for c in rows.columns]
            absent = [f"{p}_{a}" for p in points for a in "xyz" if f"{p}_{a}" not in rows]
            rows = rows.assign(valid=True, **dict.fromkeys(absent, np.nan))
            self._files[table["name"]] = rows.sort_values("id")
        return self._files[table["name"]]

    def _roots(self, supervoxels: list[int], at: datetime) -> list[int]:
        ms = to_ms(floor_ms(at))
        numbers = [self.replayed.at(s, ms) for s in supervoxels]
        there = sorted(set(numbers) - {0})
        members = np.array([self.replayed.objects[n].member for n in there], np.int64)
        roots = self.graph.roots(members, at).tolist()
        assert 0 not in roots
        assert self.names.agree(zip(roots, there, strict=True))
        named = dict(zip(there, roots, strict=True)) | {0: 0}
        return [named[n] for n in numbers]

    def events(self) -> list[datetime]:
        """When objects or rows changed."""
        files = sorted((self.dataset / "tables").glob("*.parquet"))
        found = {t for file in files for c in ("created", "deleted") for t in _column(file, c)}
        return sorted((found | self.beginnings()) - {None})

    def beginnings(self) -> set[datetime]:
        """When objects began."""
        return {from_ms(known.created_ms) for known in self.replayed.objects.values()}


def tables_told(dataset: Path) -> list[dict[str, Any]]:
    """What a dataset folder says of its tables."""
    tables: list[dict[str, Any]] = tomllib.loads((dataset / "datastack.toml").read_text())["table"]
    return tables


def _column(file: Path, name: str) -> list[datetime]:
    return pq.read_table(file, columns=[name])[name].to_pylist()


@contextmanager
def imported(
    source: Path, folder: Path, url: str, *, most_rows: int | None = None
) -> Iterator[tuple[Served, BruteTruth]]:
    """A dataset under names of its own, asked of the server at `url`; it goes in the end.

    most_rows: of each table, the first ones. One that is a graph only gets synapses, and voxels.
    """
    name = f"r{uuid.uuid4().hex[:10]}"
    shutil.copytree(source, folder)
    toml = folder / "datastack.toml"
    known = open_dataset(source)
    toml.write_text(toml.read_text().replace(f'"{known.datastack.name}', f'"{name}'))
    for file in (folder / "tables").glob("*.parquet"):
        pq.write_table(_first(pq.read_table(file), most_rows), file)
    opened = open_dataset(folder)
    try:
        import_dataset(opened)
        with connections.connect(opened.aligned_volume.name) as conn:
            replayed = Replayed.of(folder)
            if not opened.tables:
                furnish(conn, folder, name, replayed)
            served = Served(url, name, opened.aligned_volume.name, opened.segmentation.name, folder)
            yield served, BruteTruth(folder, conn, name, served.segmentation, replayed=replayed)
            conn.rollback()
    finally:
        if opened.aligned_volume.name in connections.aligned_volumes():
            connections.drop_aligned_volume(opened.aligned_volume.name)


def _first(rows: pa.Table, most: int | None) -> pa.Table:
    """The first rows, as if there were no others."""
    kept = rows.slice(0, most)
    place = rows.column_names.index("superceded_id")
    known = pc.is_in(kept["superceded_id"], value_set=kept["id"].combine_chunks())
    return kept.set_column(
        place,
        "superceded_id",
        pc.if_else(known, kept["superceded_id"], pa.scalar(None, pa.int64())),
    )
