"""Dataset folders: one datastack with voxels, chunkedgraph, history and tables, as files."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from matengine.datasets.faults import Faults
from matengine.datasets.graph_files import read_edges, read_edits
from matengine.datasets.manifest import (
    FILE,
    Manifest,
    Named,
    SegmentationPart,
    TablePart,
    read_manifest,
)
from matengine.datasets.table_files import check_rows, check_schema, check_targets, read_rows
from matengine.errors import NotFound, did_you_mean

Triple = tuple[float, float, float]
Grid = tuple[int, int, int]

# A chunk's place on one axis has 10 bits in a supervoxel id
MOST_CHUNKS = 1024


@dataclass(frozen=True)
class Segmentation:
    """The chunkedgraph and its volume; the last three are None in a graph-only folder."""

    name: str
    start_time: datetime
    volume: Path | None
    resolution_nm: Triple | None
    chunk_size: Grid | None


@dataclass(frozen=True)
class Table:
    """One annotation table; `resolution` is nm a voxel of its positions."""

    name: str
    schema: str
    resolution: Triple | None
    description: str
    reference_table: str | None
    folder: Path
    file: str

    def read(self) -> pa.Table:
        """All rows, without the expected_* and other columns the schema does not have.

        Columns: id int64, created, deleted (us, UTC), superceded_id int64, then the schema's:
        a point as {point}_position_x/_y/_z float64 in voxels of `resolution`, the others int64,
        float64, bool or string. Optional columns that the file lacks are left out.
        Raises Invalid where the file changed since it was checked.
        """
        faults = Faults(self.folder.name)
        rows = read_rows(self.folder, self.file, self.schema, faults)
        faults.raise_any()
        assert rows is not None
        return rows

    def expected_supervoxels(self) -> pa.Table:
        """id int64 and the file's expected_{point}_supervoxel_id columns, the truth for tests."""
        path = self.folder / self.file
        names = [n for n in pq.read_schema(path).names if n.startswith("expected_")]
        return pq.read_table(path, columns=["id", *names])


@dataclass(frozen=True)
class Dataset:
    """A checked dataset folder."""

    path: Path
    datastack: Named
    aligned_volume: Named
    segmentation: Segmentation
    tables: list[Table]
    grid: Grid | None
    """Chunks an axis; None in a graph-only folder."""
    _part: SegmentationPart

    @property
    def files(self) -> list[Path]:
        """datastack.toml and all that it names but the volume."""
        names = [FILE, self._part.edges, self._part.edits, *(table.file for table in self.tables)]
        return [self.path / name for name in names if name is not None]

    def edges(self) -> pa.Table:
        """The start edges, each once, supervoxel_a < supervoxel_b.

        Columns supervoxel_a, supervoxel_b int64, and where the file has them affinity float32
        (infinite: never cut) and area int64 (voxel faces).
        """
        faults = Faults(self.path.name)
        edges = read_edges(self.path, self._part.edges, self.grid, faults)
        faults.raise_any()
        return edges

    def edits(self) -> pa.Table:
        """The operations in time order; no rows where the folder has no history.

        Columns operation_id int64, timestamp (ms, UTC), kind 'merge' or 'split', and edges_a,
        edges_b, source_ids, sink_ids list<int64>.
        """
        faults = Faults(self.path.name)
        part = self._part
        edits = read_edits(self.path, part.edits, part.start_time, self.grid, faults)
        faults.raise_any()
        return edits

    def table(self, name: str) -> Table:
        """The table of this name; raises NotFound."""
        for table in self.tables:
            if table.name == name:
                return table
        hint = did_you_mean(name, [table.name for table in self.tables])
        raise NotFound(f"The dataset has no table '{name}'.", hint)

    def expected_roots(self) -> pa.Table | None:
        """time, supervoxel_id, component: the true objects at some times, where known."""
        return self._expected("roots_at")

    def expected_operations(self) -> pa.Table | None:
        """operation_id, timestamp, roots_retired, roots_made, where known."""
        return self._expected("operations")

    def _expected(self, name: str) -> pa.Table | None:
        path = self.path / "expected" / f"{name}.parquet"
        return pq.read_table(path) if path.is_file() else None


def open_dataset(path: Path | str) -> Dataset:
    """The dataset folder at `path`, all of it checked.

    Raises Invalid, which names file, column and row (from 1) of every fault found, and NotFound
    where there is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise NotFound(f"There is no dataset folder {folder}.")
    faults = Faults(folder.name)
    manifest = read_manifest(folder, faults)
    faults.raise_any()
    assert manifest is not None
    grid = _check_volume(folder, manifest.segmentation, faults)
    read_edges(folder, manifest.segmentation.edges, grid, faults)
    start = manifest.segmentation.start_time
    read_edits(folder, manifest.segmentation.edits, start, grid, faults)
    _check_tables(folder, manifest, faults)
    faults.raise_any()
    return _dataset(folder, manifest, grid)


def _dataset(folder: Path, manifest: Manifest, grid: Grid | None) -> Dataset:
    part = manifest.segmentation
    return Dataset(
        path=folder,
        datastack=manifest.datastack,
        aligned_volume=manifest.aligned_volume,
        segmentation=Segmentation(
            name=part.name,
            start_time=part.start_time,
            volume=folder / part.volume if part.volume else None,
            resolution_nm=part.resolution_nm,
            chunk_size=part.chunk_size,
        ),
        tables=[_table(folder, table) for table in manifest.table],
        grid=grid,
        _part=part,
    )


def _table(folder: Path, part: TablePart) -> Table:
    return Table(
        name=part.name,
        schema=part.schema_name,
        resolution=part.voxel_resolution_nm,
        description=part.description,
        reference_table=part.reference_table,
        folder=folder,
        file=part.file,
    )


def _check_volume(folder: Path, part: SegmentationPart, faults: Faults) -> Grid | None:
    """The number of chunks an axis, from the volume's info file; None without a volume."""
    if part.volume is None or part.chunk_size is None:
        return None
    file = f"{part.volume}/info"
    try:
        info = json.loads((folder / file).read_text("utf-8"))
        scale = info["scales"][0]
        size = [int(length) for length in scale["size"]]
        resolution = [float(length) for length in scale["resolution"]]
    except FileNotFoundError:
        faults.add(file, "the file is missing")
        return None
    except (ValueError, KeyError, IndexError, TypeError):
        faults.add(file, "is no description of a Neuroglancer precomputed volume")
        return None
    for what, found, wanted in _volume_facts(info, resolution, part):
        if found != wanted:
            faults.add(file, f"{what} is {found}, it should be {wanted}")
    x, y, z = (-(-length // chunk) for length, chunk in zip(size, part.chunk_size, strict=True))
    if max(x, y, z) > MOST_CHUNKS:
        faults.add(FILE, f"segmentation.chunk_size gives more than {MOST_CHUNKS} chunks an axis")
    return x, y, z


def _volume_facts(
    info: Any, resolution: list[float], part: SegmentationPart
) -> list[tuple[str, Any, Any]]:
    return [
        ("type", info.get("type"), "segmentation"),
        ("data_type", info.get("data_type"), "uint64"),
        ("num_channels", info.get("num_channels"), 1),
        ("the number of scales", len(info["scales"]), 1),
        ("the resolution", resolution, list(part.resolution_nm or ())),
    ]


def _check_tables(folder: Path, manifest: Manifest, faults: Faults) -> None:
    read: dict[str, pa.Table] = {}
    has_volume = manifest.segmentation.volume is not None
    for part in manifest.table:
        if not check_schema(part, has_volume, faults):
            continue
        rows = read_rows(folder, part.file, part.schema_name, faults)
        if rows is None:
            continue
        check_rows(part.file, rows, faults)
        if part.reference_table in read:
            check_targets(part.file, rows, part.reference_table, read[part.reference_table], faults)
        read[part.name] = rows.select(["id"])
