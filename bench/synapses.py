"""A datastack of synthetic synapses: made, loaded, proofread, materialized."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from matengine.engine import datastacks
from matengine.engine.annotations import bulk, tables
from matengine.engine.lookup import given
from matengine.engine.runs import engine
from matengine.engine.versions import epoch
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.storage.connections import Connection, conninfo_of

NAME = "bench"
TABLE = "synapses"
START = datetime(2026, 1, 1, tzinfo=UTC)
VOXEL_NM = (4.0, 4.0, 40.0)
GENERATOR = Path(__file__).parents[2] / "shared" / "bench" / "make_synapses.py"


def made(cache: Path, rows: int) -> Path:
    """The folder of synthetic synapses with a batch of proofreading; made where missing."""
    folder = cache / f"synapses-{rows}"
    if not (folder / "manifest.json").exists():
        if not GENERATOR.exists():
            raise Invalid(
                "The generator of synthetic synapses is not here.",
                f"Make {folder} with it elsewhere, and copy it.",
            )
        command = [sys.executable, str(GENERATOR), "--n", str(rows), "--edits", "1"]
        subprocess.run([*command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


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
    columns = {
        f"{point}_supervoxel_id": ids(synapses, f"{point}_supervoxel_id")
        for point in ("pre_pt", "post_pt")
    }
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


def ids(table: pa.Table, column: str) -> NDArray[np.int64]:
    """A column of ids; the generator writes them unsigned."""
    return table[column].to_numpy().astype(np.int64)


def proofread(conn: Connection, folder: Path) -> None:
    """Splits and merges that change about 1 % of the rows; committed."""
    edits = pq.read_table(folder / "edit_supervoxels.parquet")
    operations = edits["op_index"].to_numpy()
    supervoxels, roots = ids(edits, "supervoxel_id"), ids(edits, "new_root_id")
    for operation in np.unique(operations):
        mine = operations == operation
        local.relabel(conn, NAME, supervoxels[mine], roots[mine])
    conn.commit()
