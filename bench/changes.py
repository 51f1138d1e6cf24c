"""Annotating and proofreading that goes on: many small changes, as of many people."""

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench import synapses
from matengine.engine.annotations import rows as annotations
from matengine.engine.lookup import given
from matengine.segmentation.chunkedgraph import local
from matengine.storage.connections import Connection

BATCH = 20  # annotations of one request


@dataclass
class Changes:
    """Proofreading and annotating that goes on as long as is wanted."""

    conn: Connection
    synapses: pa.Table
    edits: pa.Table
    rows: int = 0

    def __post_init__(self) -> None:
        operations = self.edits["op_index"].to_numpy()
        moved = synapses.ids(self.edits, "supervoxel_id")
        roots = synapses.ids(self.edits, "new_root_id")
        every = (operations == one for one in np.unique(operations))
        # by turns from the small and the large ones, so that each share has some of all sizes
        parts = sorted(
            ((moved[mine], roots[mine]) for mine in every), key=lambda part: len(part[0])
        )
        self._edits = parts
        self._old = itertools.count(1000)

    def until(self, rows: int) -> None:
        """Change as many rows in all, most of them by proofreading."""
        while self.rows < rows:
            self.edit(most=rows - self.rows)
            for change in (self.insert, self.update, self.delete):
                if self.rows < rows:
                    change(BATCH)

    def edit(self, most: int = 0) -> None:
        """The largest operation left that changes at most so many rows, else the smallest."""
        if not self._edits:
            return
        fitting = [n for n, (moved, _) in enumerate(self._edits) if len(moved) <= most]
        moved, roots = self._edits.pop(fitting[-1] if fitting else 0)
        local.relabel(self.conn, synapses.NAME, moved, roots)
        self.conn.commit()
        self.rows += len(moved)

    def insert(self, count: int = 1) -> None:
        """New synapses where there are some already."""
        old = self._next(count)
        found = self.synapses.take(old - 1)
        nested = [
            {"size": 1.0}
            | {
                point: {"position": [float(row[f"{point}_{axis}"]) for axis in "xyz"]}
                for point in ("pre_pt", "post_pt", "ctr_pt")
            }
            for row in found.to_pylist()
        ]
        new = annotations.insert(self.conn, synapses.TABLE, nested)
        self._give(new, old)

    def update(self, count: int = 1) -> None:
        old = self._next(count)
        changed = [{"id": int(row_id), "size": 2.0} for row_id in old]
        new = annotations.update(self.conn, synapses.TABLE, changed)
        self._give([new[int(row_id)] for row_id in old], old)

    def delete(self, count: int = 1) -> None:
        annotations.delete(self.conn, synapses.TABLE, self._next(count).tolist())
        self.conn.commit()
        self.rows += count

    def _next(self, count: int) -> NDArray[np.int64]:
        """Ids of rows that have not been changed yet, from all over the table."""
        step = 7919
        found = [1 + next(self._old) * step % self.synapses.num_rows for _ in range(count)]
        return np.array(found, np.int64)

    def _give(self, new: list[int], old: NDArray[np.int64]) -> None:
        """The supervoxels of new rows: those of the rows at the same places."""
        rows = self.synapses.take(old - 1)
        columns = {
            f"{point}_supervoxel_id": synapses.ids(rows, f"{point}_supervoxel_id")
            for point in ("pre_pt", "post_pt")
        }
        given.give(
            self.conn, synapses.NAME, synapses.TABLE, pa.table({"id": pa.array(new), **columns})
        )
        self.conn.commit()
        self.rows += len(new)
