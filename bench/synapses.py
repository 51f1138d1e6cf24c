"""A datastack of synthetic synapses: made, loaded, proofread, materialized."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.made import make
from matengine import times
from matengine.engine import datastacks
from matengine.engine.annotations import bulk, tables
from matengine.engine.lookup import given
from matengine.engine.runs import engine
from matengine.engine.versions import epoch
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.storage.connections import Connection, conninfo_of

Ids = NDArray[np.int64]

NAME = "bench"
TABLE = "synapses"
START = datetime(2026, 1, 1, tzinfo=UTC)
SIDES = ("pre_pt", "post_pt")
VOXEL_NM = (4.0, 4.0, 40.0)
GENERATOR = Path(__file__).parents[2] / "shared" / "bench" / "make_synapses.py"


def made(cache: Path, rows: int) -> Path:
    """The folder of synthetic synapses with a batch of proofreading; made where missing.

    By the generator that measurements of other systems used, where that lies beside the project.
    """
    folder = cache / f"synapses-{rows}"
    if not (folder / "manifest.json").exists():
        if GENERATOR.exists():
            command = [sys.executable, str(GENERATOR), "--n", str(rows), "--edits", "1"]
            subprocess.run([*command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
        else:
            make(folder, rows)
    return folder


def bring(conn: Connection, folder: Path) -> pa.Table:
    """All of a folder's synapses with their supervoxels, in no version yet; gives them."""
    rows = pq.read_table(folder / "synapses.parquet")
    create(conn, folder)
    load(conn, rows)
    give_supervoxels(conn, rows)
    return rows


def create(conn: Connection, folder: Path) -> None:
    """The chunkedgraph with all supervoxels, the datastack, and an annotation table; committed."""
    supervoxels = pq.read_table(folder / "supervoxels.parquet")
    local.create(conn, NAME, start=START)
    local.load_assignment(
        conn, NAME, ids(supervoxels, "supervoxel_id"), ids(supervoxels, "root_id"),
        labels_are_roots=True,
    )  # fmt: skip
    datastacks.create(conn, NAME, datastacks.Segmentation(NAME))
    tables.create_table(
        conn, TABLE, "synapse", voxel_resolution_nm=VOXEL_NM, description="synthetic"
    )
    conn.commit()


def load(conn: Connection, synapses: pa.Table) -> None:
    """Bring the annotations in; committed."""
    bulk.load(conn, TABLE, annotations(synapses))
    conn.commit()


def give_supervoxels(conn: Connection, synapses: pa.Table) -> None:
    """Take over the supervoxels that the synapses come with; committed."""
    columns = {f"{point}_supervoxel_id": ids(synapses, f"{point}_supervoxel_id") for point in SIDES}
    given.give(conn, NAME, TABLE, pa.table({"id": synapses["id"], **columns}))
    conn.commit()


def materialize(conn: Connection) -> None:
    """Make the next version."""
    run_id = epoch.start(conn, NAME, "complete", publish_version=True)
    done = engine.drive(conninfo_of(conn), run_id)
    if done.status != "done":
        raise Invalid(f"The run failed: {done.error}")


def annotations(synapses: pa.Table) -> pa.Table:
    """The synapses in the columns of the schema `synapse`."""
    columns = {"id": synapses["id"], "created": synapses["created"]}
    for point in ("pre_pt", "post_pt", "ctr_pt"):
        for axis in "xyz":
            columns[f"{point}_position_{axis}"] = synapses[f"{point}_{axis}"].cast(pa.float64())
    return pa.table(columns | {"size": synapses["size"].cast(pa.float64())})


def ids(table: pa.Table, column: str) -> Ids:
    """A column of ids; the generator writes them unsigned."""
    return np.asarray(table[column], np.int64)


@dataclass(frozen=True)
class Edits:
    """Splits and merges of roots: the operations' supervoxels, and the roots they give them.

    operations, supervoxels, roots: (N,) int64, in the order of the operations.
    """

    operations: Ids
    supervoxels: Ids
    roots: Ids

    def part(self, chosen: NDArray[np.bool_]) -> "Edits":
        return Edits(self.operations[chosen], self.supervoxels[chosen], self.roots[chosen])


def edits(folder: Path) -> Edits:
    """The first batch, which changes about 1 % of the rows."""
    table = pq.read_table(folder / "edit_supervoxels.parquet", filters=[("edit", "=", 0)])
    return Edits(ids(table, "op_index"), ids(table, "supervoxel_id"), ids(table, "new_root_id"))


def cut(every: Edits, rows: pa.Table, count: int) -> tuple[Edits, Edits]:
    """The first operations, which change about `count` rows, and the rest."""
    order = np.argsort(every.supervoxels)
    operation = np.full(len(rows), every.operations.max() + 1)
    for side in SIDES:
        mine = ids(rows, f"{side}_supervoxel_id")
        at = np.minimum(np.searchsorted(every.supervoxels, mine, sorter=order), len(order) - 1)
        found = every.supervoxels[order[at]] == mine
        operation[found] = np.minimum(operation[found], every.operations[order[at[found]]])
    changed = np.cumsum(np.bincount(operation, minlength=every.operations.max() + 2)[:-1])
    first = every.operations <= np.argmin(np.abs(changed - count))
    return every.part(first), every.part(~first)


def proofread(conn: Connection, folder: Path) -> None:
    """Make all edits of the batch; committed."""
    edit(conn, edits(folder))


def edit(conn: Connection, batch: Edits) -> Edits:
    """Make edits in the embedded chunkedgraph, which gives roots of its own; committed."""
    for operation in np.unique(batch.operations):
        mine = batch.operations == operation
        local.relabel(conn, NAME, batch.supervoxels[mine], batch.roots[mine])
    graph = datastacks.graph_of(conn, NAME)
    roots = graph.roots(batch.supervoxels, times.now())
    conn.commit()
    return Edits(batch.operations, batch.supervoxels, roots)
