"""The synthetic sample, from neurons to a dataset folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matengine.datasets.sample.agglomeration import Agglomeration, agglomerate
from matengine.datasets.sample.annotations import World, Written, cell_types, nuclei, synapses
from matengine.datasets.sample.neurons import Grower
from matengine.datasets.sample.operations import Operation, plan_history
from matengine.datasets.sample.plan import Plan, Triple, make_plan
from matengine.datasets.sample.replay import replay
from matengine.datasets.sample.supervoxels import Supervoxels, scan
from matengine.datasets.sample.vessel import Vessel
from matengine.datasets.sample.volume import Space
from matengine.datasets.sample.write import (
    VolumeWriter,
    write_edges,
    write_edits,
    write_neurons,
    write_tables,
    write_toml,
    write_truth,
)
from matengine.errors import Conflict
from matengine.progress import Progress, quiet

DEFAULT_SIZE = 256


@dataclass(frozen=True)
class Made:
    """What a sample holds."""

    path: Path
    supervoxels: int
    edges: int
    operations: int
    neurons: int
    rows: dict[str, int]
    """Rows by table."""


def make_sample(
    out: Path | str,
    *,
    size: int | Triple = DEFAULT_SIZE,
    seed: int = 0,
    progress: Progress = quiet,
) -> Made:
    """Write a dataset folder of made-up neurons to `out`, which must not exist.

    `size` is the edge of a cube or x, y, z, in voxels. The same size, seed and package versions
    give the same bytes. The volume is made chunk by chunk, so memory grows with the number of
    supervoxels, not of voxels. The folder gets its name when it is whole.

    Raises Invalid for a size or seed that cannot be, Conflict where `out` exists.
    """
    plan = make_plan(size, seed)
    out = Path(out)
    if out.exists():
        raise Conflict(f"{out} exists already.", "Choose another name or remove it.")
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        made = _fill(partial, out, plan, progress)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return made


def _fill(folder: Path, out: Path, plan: Plan, progress: Progress) -> Made:
    rng = np.random.default_rng(plan.seed)
    vessel = Vessel.place(plan, rng)
    skeletons = Grower(plan, rng, vessel).grow()
    volume = VolumeWriter(folder / "segmentation", plan)
    try:
        supervoxels, touching = scan(Space(plan, skeletons, vessel), volume.write, progress)
    finally:
        # a write still under way would put its file back into a folder that was removed
        volume.finish()
    found = agglomerate(plan, skeletons, supervoxels, touching, rng)
    operations = plan_history(plan, found, rng)
    _write_graph(folder, supervoxels, found, operations)
    write_neurons(folder, skeletons, supervoxels, found)
    world = World(plan, skeletons, vessel, supervoxels, touching, volume.at)
    tables = _tables(world, rng, operations)
    write_tables(folder, tables)
    write_toml(folder, plan, tables)
    return Made(
        path=out,
        supervoxels=len(supervoxels.id),
        edges=int(found.start.sum()),
        operations=len(operations),
        neurons=int(found.object_of.max()) + 1,
        rows={table.name: table.rows.num_rows for table in tables},
    )


def _write_graph(
    folder: Path, supervoxels: Supervoxels, found: Agglomeration, operations: list[Operation]
) -> None:
    # the replay also decides which splits are told as a cut, so it comes before the writing
    replayed = replay(found, operations)
    write_edges(folder, supervoxels.id, found)
    write_edits(folder, supervoxels.id, found, operations)
    write_truth(folder, supervoxels.id, found, operations, replayed)


def _tables(world: World, rng: np.random.Generator, operations: list[Operation]) -> list[Written]:
    middle = operations[len(operations) // 4].ms
    marks = [-1, 0, middle - 1, middle, middle + 1]
    found = nuclei(world, rng)
    return [synapses(world, rng, marks), found, cell_types(found, rng)]
