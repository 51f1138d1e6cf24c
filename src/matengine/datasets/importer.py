"""Bring a dataset folder in: chunkedgraph, annotation tables, proofreading history, datastack.

Each step is committed when it is done and found done when the import is called again, so an
import that was interrupted goes on where it was. The datastack comes last: nobody can
materialize what is not all there.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matengine import settings
from matengine.datasets.folder import Dataset
from matengine.engine import datastacks, info, proofreading
from matengine.engine.annotations import bulk, receipts, tables
from matengine.errors import Conflict, NotFound
from matengine.progress import Progress, quiet
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.segmentation.volume import open_volume
from matengine.storage import connections
from matengine.storage.connections import Connection

# operations committed together while nobody can see the datastack yet
PIECE = 2000
_LOCK = 0x6D61696D


@dataclass(frozen=True)
class Imported:
    """What an import did. `rows` and `operations` count what this call brought in."""

    datastack: str
    aligned_volume: str
    volume: Path | None
    was_there: bool
    rows: dict[str, int] = field(default_factory=dict)
    operations: int = 0

    def lines(self) -> list[str]:
        """The same for people."""
        if self.was_there and not self.operations:
            return [f"{self.datastack} is there already; nothing to do."]
        if self.was_there:
            return [f"{self.datastack} was there; {self.operations} operations came in."]
        said = [f"{self.datastack} is in, in the aligned volume {self.aligned_volume}."]
        said += [f"  {table}: {rows} rows" for table, rows in self.rows.items()]
        said += [f"  proofreading: {self.operations} operations"]
        if self.volume:
            said += [f"  The volume is read where it lies, so keep it: {self.volume}"]
        return said


def import_dataset(
    dataset: Dataset, *, until: datetime | None = None, progress: Progress = quiet
) -> Imported:
    """Import a dataset, its proofreading up to `until` (inclusive; default: all). Commits.

    Called again it does what is missing: the rest after an interruption, or further operations
    of a later `until`. Raises Conflict where another dataset has the name, or something else a
    name that the dataset needs; Invalid where operations to be played are not after the last
    materialization.
    """
    volume, name = dataset.aligned_volume, dataset.datastack.name
    with _alone(name):
        _check_name_is_free(dataset)
        if volume.name not in connections.aligned_volumes():
            connections.create_aligned_volume(volume.name, volume.description)
        with connections.open_connection(connections.database_url(volume.name)) as conn:
            steps = _Import(conn, dataset, _until(dataset.edits(), until), progress)
            return steps.further() if name in datastacks.names(conn) else steps.all()


@contextmanager
def _alone(datastack: str) -> Iterator[None]:
    """Wait for other imports of the same name; the server lets go when our process ends."""
    with connections.open_connection(settings.load().database_url, autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (_LOCK, datastack))
        yield


def _check_name_is_free(dataset: Dataset) -> None:
    name, volume = dataset.datastack.name, dataset.aligned_volume.name
    try:
        place, _ = datastacks.find(name)
    except NotFound:
        return
    if place != volume:
        raise Conflict(
            f"There is a datastack '{name}' in the aligned volume '{place}'.",
            "Give this dataset another name in its datastack.toml.",
        )


def _until(edits: pa.Table, until: datetime | None) -> pa.Table:
    if until is None:
        return edits
    return edits.filter(
        pc.less_equal(edits["timestamp"], pa.scalar(until, pa.timestamp("us", "UTC")))
    )


@dataclass(frozen=True)
class _Import:
    """The steps; each commits."""

    conn: Connection
    dataset: Dataset
    edits: pa.Table
    progress: Progress

    def all(self) -> Imported:
        """What is missing of a dataset that is not all in yet."""
        known = receipts.find(self.conn, self._receipt)
        if known is None:
            self._begin()
        else:
            self._check_same(known)
        rows = {table.name: self._load(table.name) for table in self.dataset.tables}
        operations = self._replay_in_pieces()
        with self.conn.transaction():
            self._enter_datastack()
            receipts.finish(self.conn, self._receipt)
        return self._told(was_there=False, rows=rows, operations=operations)

    def further(self) -> Imported:
        """Operations that a dataset which is in does not have yet: all of them at once, so that
        no materialization comes between."""
        known = receipts.find(self.conn, self._receipt)
        if known is None:
            raise Conflict(f"There is a datastack '{self._name}' that was not imported.")
        self._check_same(known)
        self.conn.commit()
        with self.conn.transaction():
            operations = proofreading.replay(self.conn, self._name, self.edits, self.progress)
        return self._told(was_there=True, operations=operations)

    @property
    def _name(self) -> str:
        return self.dataset.datastack.name

    @property
    def _receipt(self) -> str:
        return f"import {self._name}"

    def _begin(self) -> None:
        """Receipt, graph in its first state and empty tables, in one transaction."""
        part = self.dataset.segmentation
        supervoxels = self._supervoxels()
        self.conn.commit()
        with self.conn.transaction():
            receipts.begin(self.conn, self._receipt, self._name, _digest(self.dataset), [])
            local.create(self.conn, part.name, start=part.start_time, chunk_size=part.chunk_size)
            local.load_edges(self.conn, part.name, self.dataset.edges(), supervoxels, self.progress)
            for table in self.dataset.tables:
                tables.create_table(
                    self.conn,
                    table.name,
                    table.schema,
                    voxel_resolution_nm=table.resolution or part.resolution_nm or (1.0, 1.0, 1.0),
                    description=table.description,
                    reference_table=table.reference_table,
                )

    def _supervoxels(self) -> Ids:
        """All of the dataset, also those of later operations: each is a root from the start on."""
        named = named_supervoxels(self.dataset)
        if self._volume is None:
            return named
        return np.union1d(named, open_volume(self._volume).all_supervoxels(self.progress))

    @property
    def _volume(self) -> Path | None:
        volume = self.dataset.segmentation.volume
        return volume.absolute() if volume else None

    def _load(self, table: str) -> int:
        self.progress(0, None, f"rows of {table}")
        return bulk.load(
            self.conn,
            table,
            self.dataset.table(table).read(),
            receipt=f"{self._receipt}: {table}",
            commit_batches=True,
            progress=self.progress,
        ).rows

    def _replay_in_pieces(self) -> int:
        count = 0
        for start in range(0, self.edits.num_rows, PIECE):
            self.progress(start, self.edits.num_rows, "operations")
            with self.conn.transaction():
                piece = self.edits.slice(start, PIECE)
                count += local.replay(self.conn, self.dataset.segmentation.name, piece)
        return count

    def _enter_datastack(self) -> None:
        part = self.dataset.segmentation
        datastacks.create(
            self.conn,
            self._name,
            datastacks.Segmentation(
                part.name,
                str(self._volume) if self._volume else None,
                list(part.resolution_nm) if part.resolution_nm else None,
                list(part.chunk_size) if part.chunk_size else None,
            ),
            description=self.dataset.datastack.description,
        )
        info.settle(self.conn, self._name)

    def _check_same(self, known: receipts.Receipt) -> None:
        if known.fingerprint != _digest(self.dataset):
            raise Conflict(
                f"Another dataset of the name '{self._name}' is in, or was begun.",
                "Give this one other names in its datastack.toml, or use another box.",
            )

    def _told(
        self, *, was_there: bool, operations: int, rows: dict[str, int] | None = None
    ) -> Imported:
        volume = self.dataset.aligned_volume.name
        return Imported(self._name, volume, self._volume, was_there, rows or {}, operations)


def named_supervoxels(dataset: Dataset) -> Ids:
    """The supervoxels that the edges and edits of a dataset name, sorted."""
    edges, edits = dataset.edges(), dataset.edits()
    named = [edges[column].to_numpy() for column in ("supervoxel_a", "supervoxel_b")]
    for column in ("edges_a", "edges_b", "source_ids", "sink_ids"):
        named.append(pc.list_flatten(edits[column]).to_numpy())
    return np.unique(np.concatenate(named).astype(np.int64))


def _digest(dataset: Dataset) -> str:
    """A hash of the content of the dataset's files."""
    digest = hashlib.sha256()
    for path in dataset.files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
