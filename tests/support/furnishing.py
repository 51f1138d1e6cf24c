"""Voxels and synapses for a dataset that is a graph only, so that live queries can be asked."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from raw_volume import write_raw_volume
from replayed import Replayed

from matengine.engine.annotations import tables
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

MS = timedelta(milliseconds=1)
SIDE = 16
TABLE = """
[[table]]
name = "synapses"
schema = "synapse"
file = "tables/synapses.parquet"
voxel_resolution_nm = [4.0, 4.0, 40.0]
description = "between random supervoxels"
"""


def furnish(conn: Connection, folder: Path, name: str, replayed: Replayed) -> None:
    """A volume of which every voxel is a supervoxel of its own, and synapses between them."""
    dice = random.Random(2)
    voxels = _write_volume(folder / "segmentation", replayed, dice)
    rows = _synapses(voxels, replayed, dice)
    (folder / "tables").mkdir()
    pq.write_table(rows, folder / "tables" / "synapses.parquet")
    with (folder / "datastack.toml").open("a") as toml:
        toml.write(TABLE)
    conn.execute(
        "UPDATE matengine.segmentation SET volume = %s, resolution_nm = '{4,4,40}',"
        " chunk_size = '{16,16,16}' WHERE name = %s",
        (str(folder / "segmentation"), f"{name}_seg"),
    )
    tables.create_table(conn, "synapses", "synapse", voxel_resolution_nm=(4, 4, 40), description="")
    plain = [n for n in rows.column_names if "_position_" not in n and "expected" not in n]
    written = rows.select(plain).append_column("valid", pa.array([True] * rows.num_rows))
    for point in ("pre_pt", "post_pt", "ctr_pt"):
        places = np.stack([rows[f"{point}_position_{axis}"].to_numpy() for axis in "xyz"], 1)
        boxed = pa.FixedSizeListArray.from_arrays(pa.array(places.ravel()), 3)
        written = written.append_column(f"{point}_position", boxed)
    copy_columns(conn, ("public", "synapses"), written)
    conn.execute(
        sql.SQL("SELECT setval('public.synapses_id_seq', {})").format(sql.Literal(rows.num_rows))
    )
    conn.commit()


def _write_volume(folder: Path, replayed: Replayed, dice: random.Random) -> np.ndarray:
    """Supervoxels whose objects change come first; some voxels are background."""
    count = SIDE**3
    changing = sorted({known.member for known in replayed.objects.values() if known.number > 1})
    others = sorted(set(replayed.neighbours) - set(changing))
    some = dice.sample(changing, min(len(changing), count // 2))
    some += dice.sample(others, min(len(others), count - 64 - len(some)))
    voxels = np.zeros(count, np.uint64)
    voxels[: len(some)] = some
    voxels = voxels.reshape((SIDE,) * 3)
    write_raw_volume(folder, voxels, chunk=[SIDE] * 3, resolution_nm=(4, 4, 40))
    return voxels


def _synapses(voxels: np.ndarray, replayed: Replayed, dice: random.Random) -> pa.Table:
    """800 synapses; their lives begin and end at, around and between operations."""
    count, width = 800, SIDE
    times = sorted({known.created_ms for known in replayed.objects.values()})

    def moment() -> int:
        return dice.choice(times) + dice.choice((-1, 0, 1, dice.randrange(86_400_000)))

    lives = [sorted((moment(), moment())) for _ in range(count)]
    columns: dict[str, pa.Array] = {
        "id": pa.array(range(1, count + 1), pa.int64()),
        "created": _times([begin for begin, _ in lives]),
        "deleted": _times([end if dice.random() < 0.3 and end > begin else None
                           for begin, end in lives]),
        "superceded_id": pa.nulls(count, pa.int64()),
        "size": pa.array([dice.randrange(400) / 4 for _ in range(count)], pa.float64()),
    }  # fmt: skip
    for point in ("pre_pt", "post_pt", "ctr_pt"):
        places = np.array([[dice.randrange(-1, width) for _ in "xyz"] for _ in range(count)])
        for axis, place in zip("xyz", places.T, strict=True):
            columns[f"{point}_position_{axis}"] = pa.array(place.astype(float))
        under = np.where((places >= 0).all(1), voxels[tuple(places.T)], 0).astype(np.int64)
        if point != "ctr_pt":
            columns[f"expected_{point}_supervoxel_id"] = pa.array(under)
    return pa.table(columns)


def _times(ms: list[int | None]) -> pa.Array:
    return pa.array(
        [None if t is None else datetime.fromtimestamp(0, UTC) + MS * t for t in ms],
        pa.timestamp("us", "UTC"),
    )
