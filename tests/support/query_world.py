"""Tables with every kind of column and awkward values, in two versions; and what they hold."""

import random
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import sql
from small_world import SIZE, Pair, write_volume

from matengine.engine import schemas
from matengine.engine.annotations import rows as annotations
from matengine.engine.annotations import tables
from matengine.engine.schemas import Kind
from matengine.engine.versions import catalogue, layout
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.storage import connections
from matengine.storage.connections import Connection
from matengine.testing.queries import MemoryRelation

CELLS = "cells"  # text, booleans, bigints; larger voxels
UNITS = "units"  # 32-bit integers and floats about synapses
CELL_NM = (2.0, 2.0, 5.0)
WORDS = ("5P-IT", "23P", "MC", "a%b", "it's \\", "Übergang 🧠", "")


@dataclass
class QueryWorld:
    """Epochs 1, 2 and 3; versions 1 and 2 are the first and the last of them."""

    pair: Pair
    tables: dict[int, dict[str, MemoryRelation]]

    @property
    def conn(self) -> Connection:
        return self.pair.conn

    @property
    def name(self) -> str:
        return self.pair.name

    @property
    def synapses(self) -> str:
        return self.pair.table

    @property
    def notes(self) -> str:
        return self.pair.notes


@contextmanager
def query_world(server_url: str, folder: Path) -> Iterator[QueryWorld]:
    """The world in an aligned volume of its own."""
    name = f"queries_{uuid.uuid4().hex[:10]}"
    connections.create_aligned_volume(name, url=server_url)
    with connections.connect(name, url=server_url) as conn:
        pair = Pair(conn, write_volume(folder))
        dice = random.Random(5)
        _make_tables(pair)
        _stir(pair, dice, 14)
        pair.epoch()
        _stir(pair, dice, 3)
        pair.epoch(publish=False)
        _stir(pair, dice, 5)
        pair.epoch()
        conn.commit()
        yield QueryWorld(pair, {v: _remembered(pair, v) for v in pair.versions})
        conn.rollback()
    connections.drop_aligned_volume(name, url=server_url)


def _make_tables(pair: Pair) -> None:
    tables.create_table(pair.conn, CELLS, "cell_match", voxel_resolution_nm=CELL_NM, description="")
    tables.create_table(
        pair.conn,
        UNITS,
        "func_unit_ext_coreg",
        voxel_resolution_nm=(1, 1, 1),
        description="",
        reference_table=pair.table,
    )
    pair.conn.commit()


def _stir(pair: Pair, dice: random.Random, count: int) -> None:
    pair.stir(dice, count, 4)
    ids = sorted(pair.world.tables[pair.table])
    cells = [
        {
            # quarters of voxels; some lie on the background and some outside
            "pt": {"position": [dice.randrange(-1, 2 * SIZE) / 4 for _ in "xyz"]},
            "query_root_id": dice.choice((0, -1, 2**63 - 1, dice.choice(ids))),
            "match_id": dice.choice(WORDS),
            "score": dice.choice((0.0, -1.5, 1e300, 3.25)),
        }
        | dice.choice(({}, {"validation": True}, {"validation": False}))
        for _ in range(count)
    ]
    annotations.insert(pair.conn, CELLS, cells)
    units = [
        {
            "target_id": dice.choice(ids),
            "session": dice.randrange(3),
            "scan_idx": dice.choice((-(2**31), 2**31 - 1, 0)),
            "unit_id": dice.choice(ids),
        }
        | dice.choice(({}, {"field": 4}, {"score": dice.random()}))
        for _ in range(count)
    ]
    annotations.insert(pair.conn, UNITS, units)
    # as other programs write them: nothing but an id
    pair.conn.execute(sql.SQL("INSERT INTO {} DEFAULT VALUES").format(sql.Identifier(CELLS)))
    pair.conn.commit()


def _remembered(pair: Pair, version: int) -> dict[str, MemoryRelation]:
    time = catalogue.version(pair.conn, pair.name, version).time
    assert time is not None
    names = (pair.table, pair.notes, CELLS, UNITS)
    return {name: _relation(pair, name, time) for name in names}


def _relation(pair: Pair, table: str, time: datetime) -> MemoryRelation:
    """A table at a time: rows from the live table, ids of the segmentation from the oracle."""
    where = layout.layout_of(pair.conn, table, pair.name)
    columns = ("id", "created", "valid", *(c.name for c in where.columns))
    points = frozenset(c.name for c in where.columns if c.kind is Kind.GEOMETRY)
    rows = []
    for row in _alive(pair.conn, where, time):
        for bound in schemas.bound_columns(schemas.get(where.schema_type)):
            supervoxel, root = _under(pair, row[bound.position], where, time)
            row |= {bound.supervoxel_id: supervoxel, bound.root_id: root}
        rows.append({name: row[name] for name in columns})
    return MemoryRelation(
        columns,
        points,
        frozenset(where.supervoxels + where.roots),
        where.voxel_resolution_nm,
        tuple(rows),
    )


def _alive(conn: Connection, where: layout.Layout, time: datetime) -> Iterator[dict[str, Any]]:
    ids = [i for (i,) in conn.execute(sql.SQL("SELECT id FROM {}").format(where.live))]
    for row in annotations.get(conn, where.table, ids):
        if row["created"] <= time and (row["deleted"] is None or time < row["deleted"]):
            points = {k: tuple(v) for k, v in row.items() if k.endswith("_position") and v}
            yield dict(row) | points | {"valid": True}


def _under(pair: Pair, point: Any, where: layout.Layout, time: datetime) -> tuple[int, int]:
    """Supervoxel and root by the oracle, the root by the engine's name for it."""
    supervoxel = pair.world.supervoxel(point, where.voxel_resolution_nm)
    theirs = int(LocalGraph(pair.conn, pair.name).roots([supervoxel], time)[0])
    ours = int(pair.world.graph.roots([supervoxel], time)[0])
    assert pair.names.agree([(theirs, ours)])
    return supervoxel, theirs


Rows = list[Mapping[str, Any]]
