"""Files of synapses into tables: rows, supervoxels, roots, the first version, on two cores."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from bench import synapses, volume
from bench.figure import Figure
from bench.place import Place, Server
from bench.processes import Tree
from bench.volume import Made
from matengine.engine import datastacks, upload
from matengine.engine.annotations import tables
from matengine.engine.runs import engine
from matengine.engine.versions import epoch
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

WORKERS = 2


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
    del table
    steps: dict[str, Took] = {}
    with place.server() as server, _workers() as workers:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:
            _create(conn, folder, made)
            for name, begin in (
                ("rows, their indexes and supervoxels", lambda: _upload(conn, file)),
                ("first version", lambda: _materialize(conn)),
            ):
                conn.execute("CHECKPOINT")
                conn.commit()
                with _step(server, name, steps):
                    _work(workers, conn, begin())
            _check(conn, made)
            phases = _phases(conn)
    return _figures(place.rows, steps, phases)


def _create(conn: Connection, folder: Path, made: Made) -> None:
    """The chunkedgraph and the datastack with its volume, and an empty table."""
    supervoxels = pq.read_table(folder / "supervoxels.parquet")
    local.create(conn, synapses.NAME, start=synapses.START)
    ids = [synapses.ids(supervoxels, name) for name in ("supervoxel_id", "root_id")]
    local.load_assignment(conn, synapses.NAME, *ids, labels_are_roots=True)
    segmentation = datastacks.Segmentation(synapses.NAME, str(made.folder))
    datastacks.create(conn, synapses.NAME, segmentation)
    tables.create_table(
        conn,
        synapses.TABLE,
        "synapse",
        voxel_resolution_nm=synapses.VOXEL_NM,
        description="synthetic",
    )
    conn.commit()


def _upload(conn: Connection, file: Path) -> int:
    return upload.start(conn, synapses.NAME, synapses.TABLE, file)


def _materialize(conn: Connection) -> int:
    return epoch.start(conn, synapses.NAME, "complete", publish_version=True)


@contextmanager
def _workers() -> Iterator["multiprocessing.pool.Pool"]:
    """Processes that have imported all they need, as workers of a box have."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_ready, range(WORKERS), chunksize=1)
        yield pool


def _ready(number: int) -> None:
    time.sleep(0.5)  # so that each takes one


def _drive(task: tuple[str, int]) -> str:
    done = engine.drive(*task)
    return done.error or done.status


def _work(workers: "multiprocessing.pool.Pool", conn: Connection, run_id: int) -> None:
    ends = workers.map(_drive, [(conninfo_of(conn), run_id)] * WORKERS, chunksize=1)
    if ends[0] != "done":
        raise Invalid(f"The run failed: {ends[0]}")


@contextmanager
def _step(server: Server, name: str, steps: dict[str, Took]) -> Iterator[None]:
    tree = Tree([os.getpid(), server.pid])
    cpu, wall = tree.cpu_s(), time.perf_counter()
    yield
    steps[name] = Took(tree.cpu_s() - cpu, time.perf_counter() - wall)


def _phases(conn: Connection) -> list[tuple[str, int, float]]:
    rows = conn.execute(
        "SELECT r.workflow || ' ' || u.kind, count(*), extract(epoch FROM max(u.finished) -"
        " (SELECT started FROM matengine.run AS s WHERE s.run_id = r.run_id))::float8"
        " FROM matengine.unit AS u JOIN matengine.run AS r USING (run_id)"
        " GROUP BY r.run_id, r.workflow, u.kind ORDER BY max(u.finished)"
    ).fetchall()
    conn.commit()
    return rows


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


def _figures(
    rows: int, steps: dict[str, Took], phases: list[tuple[str, int, float]]
) -> list[Figure]:
    found = []
    for name, took in steps.items():
        found.append(Figure(f"{name}: CPU", took.cpu_s, None, "s", rows))
        found.append(Figure(f"{name}: wall", took.wall_s, None, "s", rows))
    for name, count, wall in phases:
        found.append(Figure(f"{name} ({count})", wall, None, "s", rows, "from the run's start"))
    wall = sum(took.wall_s for took in steps.values())
    found.append(Figure("ingest", rows / wall, None, "rows/s", rows))
    return found
