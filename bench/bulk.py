"""Files of synapses into tables: rows, supervoxels, roots, the first version, on two cores."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from numpy.typing import NDArray

from bench import standins, synapses, volume
from bench.figure import Figure
from bench.place import Place, Server
from bench.tree import Tree
from bench.volume import Made
from matengine.engine import datastacks, upload
from matengine.engine.annotations import bulk, tables
from matengine.engine.runs import engine
from matengine.engine.versions import epoch
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

WORKERS = 2
ALONE = "loaded"
CLASSIC = "classic_ingest"
# rows that the stand-in takes: its cost a row is the same from there on
CLASSIC_ROWS = 5_000


@dataclass
class Took:
    """CPU seconds of all processes, and wall seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


def run(place: Place) -> list[Figure]:
    """Load, look up and materialize a table by two workers, as those of a box do it."""
    folder = synapses.made(place.cache, place.rows)
    table = pq.read_table(folder / "synapses.parquet")
    made = volume.make(table, place.cache / f"volume-{place.rows}", place.progress)
    file = place.cache / f"annotations-{place.rows}.parquet"
    pq.write_table(synapses.annotations(table), file)
    few = table.slice(0, CLASSIC_ROWS)
    del table
    steps: dict[str, Took] = {}
    with place.server() as server, _workers() as workers:

        @contextmanager
        def step(name: str) -> Iterator[None]:
            place.progress(len(steps), 4, name)
            conn.execute("CHECKPOINT")
            conn.commit()
            with _measured(server, name, steps):
                yield

        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:
            _create(conn, folder, made)
            with step("bulk load"):
                bulk.load(conn, ALONE, file, receipt=ALONE, commit_batches=True, leave_indexes=True)
            tables.delete_table(conn, ALONE)
            conn.commit()
            with step("rows, indexes, supervoxels"):
                run_id = upload.start(conn, synapses.NAME, synapses.TABLE, file)
                _work(workers, conn, run_id)
            with step("first version"):
                run_id = epoch.start(conn, synapses.NAME, "complete", publish_version=True)
                _work(workers, conn, run_id)
            _check(conn, made)
            with _classic(server) as classic:
                found = _memory(folder, few, made)
                with step(CLASSIC):
                    standins.row_wise_ingest(classic, few, *found)
    return _figures(place.rows, few.num_rows, steps)


def _create(conn: Connection, folder: Path, made: Made) -> None:
    """The chunkedgraph and the datastack with its volume, and an empty table."""
    supervoxels = pq.read_table(folder / "supervoxels.parquet")
    local.create(conn, synapses.NAME, start=synapses.START)
    ids = [synapses.ids(supervoxels, name) for name in ("supervoxel_id", "root_id")]
    local.load_assignment(conn, synapses.NAME, *ids, labels_are_roots=True)
    segmentation = datastacks.Segmentation(synapses.NAME, str(made.folder))
    datastacks.create(conn, synapses.NAME, segmentation)
    for name in (ALONE, synapses.TABLE):
        tables.create_table(
            conn, name, "synapse", voxel_resolution_nm=synapses.VOXEL_NM, description="synthetic"
        )
    conn.commit()


@contextmanager
def _workers() -> Iterator["multiprocessing.pool.Pool"]:
    """Processes that have imported all they need, as workers of a box have."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_ready, range(WORKERS), chunksize=1)
        yield pool


def _ready(number: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    time.sleep(0.5)  # so that each takes one


def _drive(task: tuple[str, int]) -> str:
    done = engine.drive(*task)
    return done.error or done.status


def _work(workers: "multiprocessing.pool.Pool", conn: Connection, run_id: int) -> None:
    ends = workers.map(_drive, [(conninfo_of(conn), run_id)] * WORKERS, chunksize=1)
    if ends[0] != "done":
        raise Invalid(f"The run failed: {ends[0]}")


@contextmanager
def _measured(server: Server, name: str, steps: dict[str, Took]) -> Iterator[None]:
    tree = Tree([os.getpid(), server.pid])
    cpu, wall = tree.cpu_s(), time.perf_counter()
    yield
    steps[name] = Took(tree.cpu_s() - cpu, time.perf_counter() - wall)


def _check(conn: Connection, made: Made) -> None:
    """The version has the supervoxels of the volume."""
    rows = conn.execute(
        "SELECT count(*), sum(pre_pt_supervoxel_id), sum(post_pt_supervoxel_id),"  # noqa: S608
        f" count(pre_pt_root_id), count(post_pt_root_id) FROM {synapses.NAME}__mat1.synapses"
    ).fetchone()
    conn.commit()
    right = [
        int(made.expected[f"{p}_supervoxel_id"].to_numpy().astype(object).sum())
        for p in volume.POINTS
    ]
    count = made.expected.num_rows
    if rows != (count, *right, count, count):
        raise Invalid(f"The version is not that of the data: {rows}, not {count}, {right}.")


@contextmanager
def _classic(server: Server) -> Iterator[Connection]:
    """A database for the classic way."""
    with connections.open_connection(server.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {CLASSIC}")
    with connections.open_connection(connections.database_url(CLASSIC, server.url)) as conn:
        conn.execute("CREATE EXTENSION postgis")
        conn.commit()
        yield conn


def _memory(
    folder: Path, rows: pa.Table, made: Made
) -> tuple[Callable[[NDArray[np.float64]], int], Callable[[int], int]]:
    """The supervoxel under a point of these rows, and the root of a supervoxel."""
    known: dict[tuple[float, ...], int] = {}
    for point in volume.POINTS:
        places = zip(*(rows[f"{point}_{axis}"].to_pylist() for axis in "xyz"), strict=True)
        ids = made.expected[f"{point}_supervoxel_id"].slice(0, rows.num_rows).to_pylist()
        known |= dict(zip(places, ids, strict=True))
    every = pq.read_table(folder / "supervoxels.parquet")
    columns = (every[name].to_pylist() for name in ("supervoxel_id", "root_id"))
    roots = dict(zip(*columns, strict=True))
    return lambda point: known[tuple(point.tolist())], roots.__getitem__


def _figures(rows: int, few: int, steps: dict[str, Took]) -> list[Figure]:
    classic, load = steps.pop(CLASSIC), steps.pop("bulk load")
    whole = Took(
        sum(took.cpu_s for took in steps.values()), sum(took.wall_s for took in steps.values())
    )
    beside = f"the stand-in: {few:,} rows one by one, volume and graph in memory"
    found = [
        Figure("bulk load", rows / load.wall_s, None, "rows/s", rows, "before indexes; wall"),
        Figure("bulk load: CPU", 1e6 * load.cpu_s / rows, None, "us a row", rows),
        Figure("ingest", rows / whole.wall_s, few / classic.wall_s, "rows/s", rows, beside),
        Figure(
            "ingest: CPU",
            1e6 * whole.cpu_s / rows,
            1e6 * classic.cpu_s / few,
            "us a row",
            rows,
            "file, indexes, supervoxels from a volume, roots, history, fingerprint",
        ),
    ]
    for name, took in steps.items():
        found.append(Figure(f"ingest, {name}: CPU", took.cpu_s, None, "s", rows))
        found.append(Figure(f"ingest, {name}: wall", took.wall_s, None, "s", rows))
    return found
