"""One question to several versions: which objects does this neuron make synapses with?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from matengine.demo.making import Made, Stage
from matengine.engine import datastacks
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.segmentation.chunkedgraph.local import LocalGraph

Ids = NDArray[np.int64]
SCHEMAS = ("synapse", "fly_synapse")
PRE, POST, WHERE = "pre_pt_root_id", "post_pt_root_id", "pre_pt_supervoxel_id"
# a neuron is more than a piece: where there are such, it has at least so many synapses
MANY = 10


@dataclass(frozen=True)
class Answer:
    """What a version says of the neuron. `strongest`: synapses of its first partners."""

    version: int
    root_id: int
    synapses: int
    partners: int
    strongest: list[int]


def choose(stage: Stage, table: str, versions: Sequence[Made]) -> int | None:
    """The supervoxel of a neuron whose partners change most; None where there are no synapses.

    Roots come and go with proofreading; a supervoxel stays in its neuron.
    """
    first = _table(stage, table, versions[0].version, None)
    candidates = np.unique(first[WHERE].to_numpy())
    candidates = candidates[candidates != 0]
    if not len(candidates):
        return None
    counts = np.array([_partners(stage, table, made, candidates) for made in versions])
    change = counts.max(axis=0) - counts.min(axis=0)
    change = np.where(counts.min(axis=0) >= min(MANY, counts.min(axis=0).max()), change, -1)
    return int(candidates[np.argmax(change)])


def ask(stage: Stage, table: str, made: Made, supervoxel: int) -> Answer:
    """Ask a version for the synapses of the object that the supervoxel is in."""
    (root,) = _roots(stage, [supervoxel], made.time).tolist()
    rows = _table(stage, table, made.version, root)
    partners, counts = np.unique(rows[POST].to_numpy(), return_counts=True)
    counts = counts[(partners != 0) & (partners != root)]
    strongest = sorted(counts.tolist(), reverse=True)[:5]
    return Answer(made.version, root, rows.num_rows, len(counts), strongest)


def _partners(stage: Stage, table: str, made: Made, supervoxels: Ids) -> Ids:
    """How many partners the object of each supervoxel has."""
    rows = _table(stage, table, made.version, None)
    pairs = np.stack([rows[PRE].to_numpy(), rows[POST].to_numpy()], axis=1)
    pairs = np.unique(pairs[(pairs != 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])], axis=0)
    roots, counts = np.unique(pairs[:, 0], return_counts=True)
    count_of = dict(zip(roots.tolist(), counts.tolist(), strict=True))
    here = _roots(stage, supervoxels, made.time).tolist()
    return np.array([count_of.get(root, 0) for root in here], np.int64)


def _table(stage: Stage, table: str, version: int, root: int | None) -> pa.Table:
    filters = () if root is None else (Filter(table, PRE, Op.EQUAL, root),)
    query = Query(table, filters=filters, columns=[WHERE, PRE, POST])
    rows = answer.ask(stage.conn, stage.datastack, version, query)
    stage.conn.commit()
    return rows


def _roots(stage: Stage, supervoxels: Ids | list[int], at: datetime) -> Ids:
    segmentation = datastacks.get(stage.conn, stage.datastack).segmentation
    roots = LocalGraph(stage.conn, segmentation.name).roots(supervoxels, at)
    stage.conn.commit()
    return roots
