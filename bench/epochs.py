"""Load synapses, make the first epoch, change 1 % by proofreading, make the second."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Cost, cost
from matengine.engine import datastacks
from matengine.engine.annotations import bulk, tables
from matengine.engine.lookup import given
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, epoch
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

NAME = "bench"
TABLE = "synapses"
START = datetime(2026, 1, 1, tzinfo=UTC)
VOXEL_NM = (4.0, 4.0, 40.0)
GENERATOR = Path("..") / "shared" / "bench" / "make_synapses.py"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server to measure: its URL and the process id of its postmaster."""

    url: str
    postmaster: int


def data(cache: Path, rows: int) -> Path:
    """The folder of synthetic synapses with one batch of proofreading, made where missing."""
    folder = cache / f"synapses-{rows}"
    if not (folder / "manifest.json").exists():
        if not GENERATOR.exists():
            raise Invalid(
                "The generator of synthetic synapses is not here.",
                "Name a folder that it has written with --data.",
            )
        command = [sys.executable, str(GENERATOR), "--n", str(rows), "--edits", "1"]
        subprocess.run([*command, "--out", str(folder)], check=True)
    return folder


def run(
    server: Server, folder: Path, *, explain: bool = False
) -> tuple[list[Cost], dict[str, object]]:
    """Measure each step; the facts tell what the second epoch wrote and read."""
    connections.create_aligned_volume(NAME)
    if explain:
        _explain(server)
    conn = connections.connect(NAME)
    costs: list[Cost] = []

    @contextmanager
    def step(name: str) -> Iterator[None]:
        conn.execute("CHECKPOINT")
        conn.commit()
        with cost(name, conn, server.postmaster) as found:
            yield
        costs.append(found)

    _make_datastack(conn, folder)
    synapses = pq.read_table(folder / "synapses.parquet")
    with step("load"):
        bulk.load(conn, TABLE, _rows(synapses))
        conn.commit()
    with step("take over supervoxels"):
        given.give(conn, NAME, TABLE, _supervoxels(synapses))
        conn.commit()
    with step("first epoch"):
        _epoch(conn)
    _relabel(conn, folder)
    _forget_scans(conn)
    before = _sizes(conn)
    with step("second epoch"):
        _epoch(conn)
    return costs, _facts(conn, before, _sizes(conn))


def _explain(server: Server) -> None:
    """Log the plan of every statement of new connections."""
    with connections.open_connection(server.url, autocommit=True) as conn:
        for setting, value in (
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
        ):
            conn.execute(f"ALTER DATABASE {NAME} SET {setting} = '{value}'")


def _make_datastack(conn: Connection, folder: Path) -> None:
    supervoxels = pq.read_table(folder / "supervoxels.parquet")
    local.create(conn, NAME, start=START)
    local.load_assignment(
        conn,
        NAME,
        supervoxels["supervoxel_id"].to_numpy().astype(np.int64),
        supervoxels["root_id"].to_numpy().astype(np.int64),
        labels_are_roots=True,
    )
    datastacks.create(conn, NAME, datastacks.Segmentation(NAME))
    tables.create_table(
        conn, TABLE, "synapse", voxel_resolution_nm=VOXEL_NM, description="synthetic"
    )
    conn.commit()


def _rows(synapses: pa.Table) -> pa.Table:
    columns = {"id": synapses["id"], "created": synapses["created"]}
    for point in ("pre_pt", "post_pt", "ctr_pt"):
        for axis in "xyz":
            columns[f"{point}_position_{axis}"] = synapses[f"{point}_{axis}"].cast(pa.float64())
    return pa.table(columns | {"size": synapses["size"].cast(pa.float64())})


def _supervoxels(synapses: pa.Table) -> pa.Table:
    return pa.table(
        {"id": synapses["id"]}
        | {
            f"{point}_supervoxel_id": synapses[f"{point}_supervoxel_id"].cast(pa.int64())
            for point in ("pre_pt", "post_pt")
        }
    )


def _epoch(conn: Connection) -> None:
    run_id = epoch.start(conn, NAME, "complete", publish_version=True)
    done = engine.drive(conninfo_of(conn), run_id)
    if done.status != "done":
        raise Invalid(f"The run failed: {done.error}")


def _relabel(conn: Connection, folder: Path) -> None:
    """The first batch of proofreading: splits and merges that change about 1 % of the rows."""
    batch = pq.read_table(folder / "edit_supervoxels.parquet", filters=[("edit", "=", 0)])
    operations = batch["op_index"].to_numpy()
    supervoxels = batch["supervoxel_id"].to_numpy().astype(np.int64)
    roots = batch["new_root_id"].to_numpy().astype(np.int64)
    for operation in np.unique(operations):
        mine = operations == operation
        local.relabel(conn, NAME, supervoxels[mine], roots[mine])
    conn.commit()


def _forget_scans(conn: Connection) -> None:
    conn.execute("SELECT pg_stat_reset()")
    conn.commit()


def _sizes(conn: Connection) -> dict[str, int]:
    rows = conn.execute(
        "SELECT schemaname || '.' || relname, pg_total_relation_size(relid)"
        " FROM pg_stat_user_tables WHERE schemaname IN ('history', 'staging', 'matengine')"
    ).fetchall()
    conn.commit()
    return dict(rows)


def _facts(conn: Connection, before: dict[str, int], after: dict[str, int]) -> dict[str, object]:
    newest = catalogue.newest(conn, NAME)
    (table,) = catalogue.tables_at(conn, NAME, newest.epoch)
    conn.execute("SELECT pg_stat_force_next_flush()")
    scans = conn.execute(
        "SELECT schemaname || '.' || relname, seq_scan, seq_tup_read FROM pg_stat_user_tables"
        " WHERE schemaname IN ('history', 'public') AND relname LIKE %s || '%%'",
        (TABLE,),
    ).fetchall()
    conn.commit()
    return {
        "rows": table.row_count,
        "row versions written by the second epoch": table.rows_added,
        "row versions closed by it": table.rows_closed,
        "bytes it added": sum(after.values()) - sum(before.values()),
        "bytes of the first version": before[f"history.{TABLE}__{NAME}"],
        "scans of whole tables in it": {name: count for name, count, _ in scans},
    }


def dumps(costs: list[Cost], facts: dict[str, object]) -> str:
    """The figures as JSON."""
    return json.dumps({"costs": [c.row() for c in costs], "facts": facts}, indent=2)
