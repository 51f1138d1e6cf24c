"""Annotation tables of the sample: synapses, nuclei and cell types."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from matengine.datasets.sample.lives import NEVER, Lives, give_lives
from matengine.datasets.sample.operations import START
from matengine.datasets.sample.plan import RESOLUTION_NM, Plan
from matengine.datasets.sample.skeletons import AXON, Skeletons
from matengine.datasets.sample.supervoxels import Supervoxels, Touching
from matengine.datasets.sample.vessel import Vessel
from matengine.times import to_ms

Ints = NDArray[np.int64]
SupervoxelsAt = Callable[[Ints], Ints]
"""Supervoxel ids at voxels (n, 3), 0 on background and outside the volume."""

SYNAPSE_NM = (8.0, 8.0, 40.0)
NUCLEUS_NM = (16.0, 16.0, 40.0)

CELL_TYPES = ("pyramidal", "basket", "astrocyte")
_SMALLEST_SYNAPSE = 4  # voxel faces
_NUCLEUS_SHARE = 0.6  # of the soma's radius


@dataclass(frozen=True)
class Written:
    """A table as it goes into the folder."""

    name: str
    schema: str
    resolution_nm: tuple[float, float, float]
    description: str
    rows: pa.Table
    reference_table: str | None = None


@dataclass(frozen=True)
class World:
    """What there is to annotate; `at` reads the written volume."""

    plan: Plan
    skeletons: Skeletons
    vessel: Vessel
    supervoxels: Supervoxels
    touching: Touching
    at: SupervoxelsAt


def synapses(world: World, rng: np.random.Generator, marks: list[int]) -> Written:
    """Contacts of an axon with another neuron's soma or dendrite; the axon is presynaptic."""
    pre, post, area = _contacts(world, rng)
    odd_pre, odd_post = _odd_places(world, pre, post, rng)
    pre, post = np.concatenate([pre, odd_pre]), np.concatenate([post, odd_post])
    size = np.r_[area, np.arange(len(odd_pre)) + 1] * 4.0
    order = rng.permutation(len(pre))
    pre, post, size = pre[order], post[order], size[order]
    lives = give_lives(len(pre), rng, marks)
    # a correction turns the synapse round
    turned = lives.corrected[:, None]
    pre, post = pre[lives.row], post[lives.row]
    pre, post = np.where(turned, post, pre), np.where(turned, pre, post)
    inner = rng.integers(0, 4, (len(pre), 3))
    points = {"pre_pt": pre, "post_pt": post}
    columns = _life_columns(lives)
    for name, voxel in points.items():
        columns |= _positions(name, _table_voxels(voxel, SYNAPSE_NM, inner))
    middle = (_table_voxels(pre, SYNAPSE_NM, inner) + _table_voxels(post, SYNAPSE_NM, inner)) // 2
    columns |= _positions("ctr_pt", middle)
    columns["size"] = pa.array((size[lives.row] + lives.corrected).astype(np.float32))
    for name, voxel in points.items():
        columns[f"expected_{name}_supervoxel_id"] = pa.array(world.at(voxel))
    told = "contacts of an axon with a soma or dendrite; size is four times the faces in contact"
    return Written("synapses", "synapse", SYNAPSE_NM, told, pa.table(columns))


def _contacts(world: World, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Voxels of the axon and of the other side (n, 3), and the faces in contact."""
    touching, fragment = world.touching, world.supervoxels.fragment
    is_axon = world.skeletons.kind_of[fragment] == AXON
    neuron = world.skeletons.neuron_of[fragment]
    a, b = touching.a, touching.b
    fits = (is_axon[a] != is_axon[b]) & (neuron[a] != neuron[b]) & ~touching.crosses
    chosen = np.flatnonzero(fits & (touching.area >= _SMALLEST_SYNAPSE))
    chosen = np.sort(rng.permutation(chosen)[: world.plan.synapses])
    from_a = is_axon[a[chosen], None]
    at_a, at_b = touching.at_a[chosen].astype(np.int64), touching.at_b[chosen].astype(np.int64)
    pre, post = np.where(from_a, at_a, at_b), np.where(from_a, at_b, at_a)
    return pre, post, touching.area[chosen]


def _odd_places(world: World, pre: Ints, post: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Ends on background, outside the volume, on its corners, and both on one voxel."""
    plan = world.plan
    blank = _background(world, rng, 4)
    last = np.array(plan.size) - 1
    some = rng.integers(0, len(pre), 6)
    odd = [
        (blank[0], post[some[0]]),
        (pre[some[1]], blank[1]),
        (blank[2], blank[3]),
        (pre[some[2]], [plan.size[0], 1, 1]),
        (pre[some[3]], [1, 1, plan.size[2] + 5]),
        ([-1, 1, 1], post[some[4]]),
        ([0, 0, 0], last),
        (pre[some[5]], pre[some[5]]),
    ]
    one, other = zip(*odd, strict=True)
    return np.array(one, np.int64), np.array(other, np.int64)


def _background(world: World, rng: np.random.Generator, count: int) -> Ints:
    """Voxels in the middle of the vessel, at random heights."""
    z = rng.integers(0, world.plan.size[2], count)
    x, y = world.vessel.middle(z)
    return np.stack([np.floor(x), np.floor(y), z], 1).astype(np.int64)


def nuclei(world: World, rng: np.random.Generator) -> Written:
    """A nucleus in each soma, one point on background and one outside the volume."""
    somata = np.floor(world.skeletons.soma).astype(np.int64)
    outside = np.array([[world.plan.size[0] + 10, 5, 5]])
    voxel = np.concatenate([somata, _background(world, rng, 1), outside])
    radius_um = world.plan.soma_radius * _NUCLEUS_SHARE * rng.uniform(0.9, 1.1, len(voxel))
    radius_um *= RESOLUTION_NM[0] / 1000
    volume = 4 / 3 * np.pi * radius_um**3
    lives = give_lives(len(voxel), rng, [])
    # a correction moves the point by a voxel
    voxel = voxel[lives.row] + lives.corrected[:, None]
    columns = _life_columns(lives)
    inner = rng.integers(0, 2, (len(voxel), 3))
    columns |= _positions("pt", _table_voxels(voxel, NUCLEUS_NM, inner))
    columns["volume"] = pa.array(volume[lives.row])
    columns["expected_pt_supervoxel_id"] = pa.array(world.at(voxel))
    told = "the middle of each soma; volume in cubic micrometres"
    return Written("nuclei", "nucleus_detection", NUCLEUS_NM, told, pa.table(columns))


def cell_types(nuclei: Written, rng: np.random.Generator) -> Written:
    """A cell type for each nucleus, also for those that are deleted or superseded."""
    target = nuclei.rows["id"].to_numpy()
    born = nuclei.rows["created"].cast(pa.int64()).to_numpy() - to_ms(START)
    lives = give_lives(len(target), rng, [], not_before=born)
    kind = rng.choice(len(CELL_TYPES), len(target), p=[0.6, 0.25, 0.15])
    # a correction names the next type
    kind = (kind[lives.row] + lives.corrected) % len(CELL_TYPES)
    columns = _life_columns(lives)
    columns["target_id"] = pa.array(target[lives.row])
    columns["classification_system"] = pa.array(["sample"] * len(kind))
    columns["cell_type"] = pa.array([CELL_TYPES[k] for k in kind])
    told = "a cell type for each nucleus, made up"
    return Written(
        "cell_types", "cell_type_reference", NUCLEUS_NM, told, pa.table(columns), "nuclei"
    )


def _life_columns(lives: Lives) -> dict[str, pa.Array]:
    time = pa.timestamp("ms", tz="UTC")
    start = to_ms(START)
    stays = lives.deleted == NEVER
    deleted = np.where(stays, 0, lives.deleted) + start
    return {
        "id": pa.array(np.arange(1, len(lives.row) + 1)),
        "created": pa.array(lives.created + start, pa.int64()).cast(time),
        "deleted": pa.array(deleted, pa.int64(), mask=stays).cast(time),
        "superceded_id": pa.array(lives.successor, pa.int64(), mask=lives.successor == 0),
    }


def _table_voxels(voxel: Ints, table_nm: tuple[float, float, float], inner: Ints) -> Ints:
    """Voxels of the table inside voxels of the volume; `inner` (n, 3) chooses which."""
    fine = np.array([int(v / t) for v, t in zip(RESOLUTION_NM, table_nm, strict=True)])
    inside: Ints = voxel * fine + inner % fine
    return inside


def _positions(name: str, voxel: Ints) -> dict[str, pa.Array]:
    return {
        f"{name}_position_{axis}": pa.array(voxel[:, i].astype(np.int32))
        for i, axis in enumerate("xyz")
    }
