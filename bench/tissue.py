"""A made-up tissue: supervoxels in a grid, edges to their neighbours, objects, and edits of them.

Most supervoxels lie in small objects of heavy-tailed size, runs of grid columns. Beside them lie
blocks of a hundred thousand, for edits in large objects. The history attaches orphans to a few
hundred neurons, takes some of that back, and cuts small objects in two.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from matengine.segmentation.chunkedgraph.ids import make_ids
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.times import to_ms

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=100)
CHUNK = 8
"""Supervoxels along an axis of a chunk."""
BLOCK = (50, 50, 40)
LARGE = 100_000
MIDDLE = BLOCK[0] // 2
COPIES = 3
"""Objects of a kind: one that has been cut once is not the same again."""
HUBS, HUB_MERGES = 300, 500
"""Neurons that grow by merges, and merges of the one that is asked for its lineage."""

_COLUMN, _DEPTH = 4, 256
_CONTACTS = 20
_WEAK = 0.01
# ids are laid out alike in all graphs of up to this many layers
_N_LAYERS = 12


@dataclass(frozen=True)
class Tissue:
    """Edges and history as an embedded chunkedgraph takes them, and what edits need.

    Blocks are arrays of ids of shape BLOCK. Each of `planes` is one object with a weak plane
    across its middle, each of `necks` one whose halves touch in a few edges only; `twins` are two
    objects of half the size. `hub` is a supervoxel of the neuron of HUB_MERGES merges.
    """

    edges: pa.Table
    history: pa.Table
    supervoxels: Ids
    hub: int
    planes: list[Ids]
    necks: list[Ids]
    twins: Ids


def make(count: int, operations: int) -> Tissue:
    """A tissue of about `count` supervoxels, at least 1.5 million, with a history."""
    rng = np.random.default_rng(0)
    blocks = [_ids(BLOCK, 512 + 32 * i) for i in range(2 * COPIES + 1)]
    planes, necks, twins = blocks[:COPIES], blocks[COPIES:-1], blocks[-1]
    side = round(np.sqrt((count - len(blocks) * LARGE) / _DEPTH) / _COLUMN) * _COLUMN
    grid = _ids((side, side, _DEPTH), 0)
    label = _labels(grid.shape, rng)
    half = np.zeros(BLOCK, np.int64)
    half[MIDDLE:] = 1
    parts = [_edges(grid, label, rng), _edges(twins, half, rng)]
    parts += [_edges(ids, half, rng, across=_WEAK) for ids in planes]
    parts += [_edges(ids, half, rng) for ids in necks]
    parts += [_contacts(ids, rng) for ids in necks]
    history, hub = _history(grid, label, operations, rng)
    every = np.concatenate([ids.ravel() for ids in (grid, *blocks)])
    return Tissue(pa.concat_tables(parts), history, every, hub, planes, necks, twins)


def _ids(shape: tuple[int, int, int], first_chunk: int) -> Ids:
    """Ids of a block of supervoxels whose chunks begin at `first_chunk` along x."""
    place = np.stack(np.indices(shape), -1)
    inner = place % CHUNK
    number = 1 + (inner[..., 0] * CHUNK + inner[..., 1]) * CHUNK + inner[..., 2]
    return make_ids(1, place // CHUNK + [first_chunk, 0, 0], number, _N_LAYERS)


def _labels(shape: tuple[int, ...], rng: Generator) -> Ids:
    """Objects: columns, cut along z into runs of Pareto length."""
    columns = (shape[0] // _COLUMN) * (shape[1] // _COLUMN)
    first = np.cumsum(1 + rng.pareto(1.2, columns * _DEPTH).astype(np.int64))
    starts = np.zeros(columns * _DEPTH, bool)
    starts[first[first < len(starts)]] = True
    starts[::_DEPTH] = True
    runs = np.cumsum(starts).reshape(shape[0] // _COLUMN, shape[1] // _COLUMN, _DEPTH) - 1
    return runs.repeat(_COLUMN, axis=0).repeat(_COLUMN, axis=1)


def _edges(ids: Ids, label: Ids, rng: Generator, across: float = 0.0) -> pa.Table:
    """Edges to the neighbours of the same label; where `across`, to others with that affinity."""
    ends, affinity = [], []
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        same = (label[tuple(low)] == label[tuple(high)]).ravel()
        kept = same | (across > 0)
        ends.append(np.stack([ids[tuple(low)].ravel(), ids[tuple(high)].ravel()])[:, kept])
        affinity.append(np.where(same, rng.uniform(0.2, 1, same.size), across)[kept])
    return _table(np.concatenate(ends, axis=1), np.concatenate(affinity), rng)


def _contacts(ids: Ids, rng: Generator) -> pa.Table:
    """A few edges across the middle plane, side by side."""
    ends = np.stack([ids[MIDDLE - 1, :_CONTACTS, 0], ids[MIDDLE, :_CONTACTS, 0]])
    return _table(ends, rng.uniform(0.2, 0.5, _CONTACTS), rng)


def _table(ends: Ids, affinity: NDArray[np.float64], rng: Generator) -> pa.Table:
    return pa.table(
        {
            "supervoxel_a": ends[0],
            "supervoxel_b": ends[1],
            "affinity": affinity.astype(np.float32),
            "area": rng.integers(1, 500, len(affinity)),
        }
    )


def _history(grid: Ids, label: Ids, operations: int, rng: Generator) -> tuple[pa.Table, int]:
    """Operations in the columns of a dataset's edits, and a supervoxel of the busiest neuron.

    Of ten, six attach an orphan to a neuron, one takes such a merge back, three are minimum cuts
    of an object that nothing else touches.
    """
    order = np.argsort(label, axis=None, kind="stable")
    ids, starts = grid.ravel()[order], np.flatnonzero(np.diff(label.ravel()[order], prepend=-1))
    first, last = ids[starts], ids[np.append(starts[1:], len(ids)) - 1]
    objects = rng.permutation(np.flatnonzero(first < last))
    kinds = rng.choice(3, operations, p=[0.6, 0.1, 0.3])
    neurons = 1 + ((HUBS - 1) * rng.random(operations) ** 2).astype(np.int64)
    neurons[rng.choice(np.flatnonzero(kinds == 0), HUB_MERGES, replace=False)] = 0
    unused = iter(objects[HUBS:].tolist())
    rows, merges = [], []
    for kind, neuron in zip(kinds.tolist(), neurons.tolist(), strict=True):
        if kind == 1 and merges:
            rows.append(("split", *merges.pop(0), [], []))
        elif kind == 2:
            cut = next(unused)
            rows.append(("split", [], [], [first[cut]], [last[cut]]))
        else:
            edge = [first[objects[neuron]]], [first[next(unused)]]
            rows.append(("merge", *edge, [], []))
            if neuron:
                merges.append(edge)
    names = ("kind", "edges_a", "edges_b", "source_ids", "sink_ids")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    span = to_ms(END) - to_ms(START)
    times = to_ms(START) + 1 + np.arange(operations) * ((span - 1) // operations)
    numbers = np.arange(1, operations + 1)
    stamps = pa.array(times, pa.timestamp("ms", "UTC"))
    table = {"operation_id": numbers, "timestamp": stamps} | columns
    return pa.table(table), int(first[objects[0]])
