"""A datastack with a known past, made once for a module's tests: three epochs, two versions."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from small_world import Pair, write_volume

from matengine.engine.annotations import rows, tables
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

CELLS = "cells"


@dataclass
class Story:
    """`pair.table` holds synapses 1 to 6, `pair.notes` one note, `CELLS` two cell types.

    Epoch 1 is version 1. Before epoch 2, version 2, objects merge, synapse 2 is deleted, synapse 3
    is moved (and becomes 7) and synapse 8 comes; before epoch 3, no version, synapse 4 is deleted.
    """

    pair: Pair

    @property
    def conn(self) -> Connection:
        return self.pair.conn

    @property
    def history(self) -> str:
        """The quoted name of the synapses' history."""
        return self.history_of(self.pair.table)

    def history_of(self, table: str) -> str:
        return f'history."{table}__{self.pair.name}"'

    def connect(self) -> Connection:
        return connections.open_connection(conninfo_of(self.conn))


@contextmanager
def story(server_url: str, folder: Path) -> Iterator[Story]:
    """The story in an aligned volume of its own; `folder` takes the volume of supervoxels."""
    name = f"story_{uuid.uuid4().hex[:10]}"
    connections.create_aligned_volume(name, url=server_url)
    with connections.connect(name, url=server_url) as conn:
        pair = Pair(conn, write_volume(folder))
        tables.create_table(
            conn, CELLS, "cell_type_local", voxel_resolution_nm=(1, 1, 1), description=""
        )
        cells = [
            {"pt": {"position": [1, 2, 2]}, "cell_type": "5P-IT", "classification_system": ""},
            {"pt": {"position": [5, 6, 2]}, "cell_type": "MC", "classification_system": "µ"},
        ]
        rows.insert(conn, CELLS, cells)
        for x in range(1, 7):
            # the fourth has no size; the fifth lies outside, so its supervoxel is background
            size = None if x == 4 else 1.5 * x
            pair.insert([(x, 1, 1), (11 - x, 5, 5) if x != 5 else (-1, 0, 0), (x, 2, 2)], size)
        pair.note(0)
        pair.epoch()
        for a in (0, 40, 80):
            pair.merge(a, a + 30)
        pair.delete(1)
        pair.move(1, (9, 9, 9))
        pair.insert([(2, 9, 1), (3, 9, 1), (2, 9, 2)], 0.0)
        pair.epoch()
        pair.delete(1)
        pair.epoch(publish=False)
        yield Story(pair)
        conn.rollback()
    connections.drop_aligned_volume(name, url=server_url)
