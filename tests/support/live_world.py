"""A datastack that changes between and after its versions, and the rows that any time must have."""

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from small_world import START, Pair, write_volume

from matengine.engine.annotations import rows, tables
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.storage import connections
from matengine.testing.world import Annotation
from matengine.times import floor_ms

Rows = list[dict[str, Any]]

MS = timedelta(milliseconds=1)
# the points of a table that have supervoxels and roots
BOUND = {"synapse": ("pre_pt", "post_pt"), "cell_type_local": ("pt",), "simple_reference": ()}


@dataclass
class LiveWorld:
    """Synapses (`synapses`), notes about them (`notes`), `cells`, and `young` cells.

    Rows come, go and move and objects change in every stage: up to `early`, `first` (version 1),
    `between`, `second` (version 2), `now`. `young` was made after version 2. One synapse is older
    than the chunkedgraph. `on_time` was made just at the time of version 1, `too_late` too, but
    after the version was; `ended` went at that time.
    """

    pair: Pair
    cells: str = "cells"
    young: str = "young"
    early: datetime = START
    first: datetime = START
    between: datetime = START
    second: datetime = START
    now: datetime = START
    on_time: int = 0
    too_late: int = 0
    ended: int = 0

    @property
    def synapses(self) -> str:
        return self.pair.table

    @property
    def notes(self) -> str:
        return self.pair.notes

    def truth(self, table: str, at: datetime) -> Rows:
        """The rows of a table at a time by the oracle, in order; roots as the engine names them."""
        shown = sorted(self.pair.world.version(table, floor_ms(at)).items())
        schema = {self.synapses: "synapse", self.notes: "simple_reference"}
        points = BOUND[schema.get(table, "cell_type_local")]
        supervoxels = sorted({row.supervoxels[p] for _, row in shown for p in points})
        graph = LocalGraph(self.pair.conn, self.pair.name)
        roots = dict(zip(supervoxels, graph.roots(supervoxels, at).tolist(), strict=True))
        self.pair.conn.commit()
        found = []
        for row_id, row in shown:
            told: dict[str, Any] = {"id": row_id, **row.fields}
            for point in points:
                root = roots[row.supervoxels[point]]
                assert self.pair.names.agree([(root, row.roots[point])])
                told[f"{point}_supervoxel_id"] = row.supervoxels[point]
                told[f"{point}_root_id"] = root
            found.append(told)
        return found

    def classify(self, table: str, point: tuple[int, int, int], cell_type: str) -> int:
        """A new cell."""
        cell = {"pt": {"position": point}, "cell_type": cell_type, "classification_system": ""}
        (row_id,) = rows.insert(self.pair.conn, table, [cell])
        self.pair.conn.commit()
        self.learn(table, [row_id])
        return row_id

    def learn(self, table: str, ids: list[int]) -> None:
        for row in rows.get(self.pair.conn, table, ids):
            points = {"pt": tuple(row["pt_position"])}
            told = self.pair.world.tables.setdefault(table, {})
            told[row["id"]] = Annotation(
                row["created"], row["deleted"], points, {"cell_type": row["cell_type"]}
            )
        self.pair.conn.commit()

    def mark(self) -> datetime:
        """A time after all that was done, and before all that will be."""
        self.pair.conn.execute("SELECT pg_sleep(0.003)")
        time = floor_ms(self.pair.clock())
        self.pair.conn.execute("SELECT pg_sleep(0.003)")
        self.pair.conn.commit()
        return time


@contextmanager
def live_world(server_url: str, folder: Path) -> Iterator[LiveWorld]:
    """The world in an aligned volume of its own; `folder` takes the volume of supervoxels."""
    name = f"live_{uuid.uuid4().hex[:10]}"
    connections.create_aligned_volume(name, url=server_url)
    with connections.connect(name, url=server_url) as conn:
        world = LiveWorld(Pair(conn, write_volume(folder)))
        _tell(world, random.Random(4))
        yield world
        conn.rollback()
    connections.drop_aligned_volume(name, url=server_url)


def _tell(world: LiveWorld, dice: random.Random) -> None:
    pair = world.pair
    _make(world, world.cells)
    cells = [
        world.classify(world.cells, (x, 11 - x, 2), "MC" if x % 2 else "5P-IT") for x in range(12)
    ]
    pair.put(START - timedelta(hours=1))
    pair.stir(dice, 40, 8)
    world.early = world.mark()
    pair.stir(dice, 3, 6)
    world.first = world.mark()
    world.on_time = pair.put(world.first)
    world.ended = pair.put(world.first - 2 * MS, world.first)
    pair.epoch(at=world.first)
    world.too_late = pair.put(world.first)
    pair.stir(dice, 3, 6)
    world.between = world.mark()
    pair.stir(dice, 3, 6)
    world.second = world.mark()
    pair.epoch(at=world.second)
    pair.stir(dice, 4, 8)
    rows.delete(pair.conn, world.cells, [cells[3]])
    moved = rows.update(pair.conn, world.cells, [{"id": cells[5], "cell_type": "BC"}])
    world.learn(world.cells, [cells[3], cells[5], *moved.values()])
    world.classify(world.cells, (3, 3, 3), "MC")
    _make(world, world.young)
    for x in range(6):
        world.classify(world.young, (2 * x, x, 5), "BC" if x else "MC")
    world.now = world.mark()


def _make(world: LiveWorld, table: str) -> None:
    tables.create_table(
        world.pair.conn, table, "cell_type_local", voxel_resolution_nm=(1, 1, 1), description=""
    )
    world.pair.conn.commit()
