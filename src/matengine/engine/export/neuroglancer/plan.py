"""How a table lies in space: bounds, and the levels of detail that its rows make."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.access import User
from matengine.engine.export.neuroglancer import levels
from matengine.engine.export.neuroglancer.levels import Grid, Level
from matengine.engine.export.neuroglancer.shape import Shape
from matengine.engine.query import sources
from matengine.engine.query.relation import Relation
from matengine.engine.versions import labels
from matengine.errors import Gone, NotFound
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of

DEADLINE_S = 120.0
# how long a plan stands that was made where there is no version yet
_FRESH_S = 600.0
_MOST = 256
_ROW = "t0"
_Key = tuple[str, str, str, int | None]


@dataclass(frozen=True)
class Bounds:
    """A box in voxels of the table."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def chunk(self, grid: Sequence[int]) -> tuple[float, float, float]:
        """The size of a cell."""
        x, y, z = (
            (high - low) / cells for low, high, cells in zip(self.low, self.high, grid, strict=True)
        )
        return x, y, z


@dataclass(frozen=True)
class Plan:
    """The same for all who ask within a version, as cells are numbered from its bounds."""

    bounds: Bounds
    levels: tuple[Level, ...]


_plans: dict[_Key, tuple[float, Plan]] = {}


def plan_of(conn: Connection, datastack: str, relation: Relation, shape: Shape, user: User) -> Plan:
    """The plan of a table. For the present it is that of the newest version: any plan shows every
    annotation, and one that changed all the time would be of no use to viewers.
    """
    base = relation if relation.epoch is not None else _newest(conn, datastack, relation, user)
    key = (conn.info.dbname, datastack, base.name, base.epoch)
    made, plan = _plans.get(key, (0.0, None))
    if plan is None or (base.epoch is None and made < time.monotonic() - _FRESH_S):
        plan = _make(conn, datastack, base, shape)
        if len(_plans) >= _MOST:
            _plans.clear()
        _plans[key] = (time.monotonic(), plan)
    return plan


def there(relation: Relation, shape: Shape, row: str) -> sql.Composable:
    """The condition that an annotation has all of its points."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT NULL").format(relation.by_name[f"{point}_x"].value(row))
        for point in shape.points
    )


def number(value: float) -> sql.Composed:
    """A float as SQL, exactly."""
    return sql.SQL("{}::float8").format(sql.Literal(repr(float(value))))


def _newest(conn: Connection, datastack: str, relation: Relation, user: User) -> Relation:
    try:
        version = labels.find(conn, datastack, labels.NEWEST).version
        return sources.tables_at(conn, datastack, version, [relation.name], user)[relation.name]
    except (NotFound, Gone):
        return relation


def _make(conn: Connection, datastack: str, base: Relation, shape: Shape) -> Plan:
    nm = base.resolution_nm or (1.0, 1.0, 1.0)
    bounds = _bounds(conn, datastack, base, shape, nm)
    over = levels.grids([s * n for s, n in zip(bounds.chunk((1, 1, 1)), nm, strict=True)])
    cells, counts = _counts(conn, base, shape, bounds, over[-1])
    return Plan(bounds, tuple(levels.choose(cells, counts, over)))


def _bounds(
    conn: Connection, datastack: str, base: Relation, shape: Shape, nm: Sequence[float]
) -> Bounds:
    """The segmentation's box, doubled until all points are in it, so that it seldom changes."""
    low, high = _box_of_volume(conn, datastack, nm)
    least, most = _extent(conn, base, shape)
    sides = []
    for axis in range(3):
        size = max(high[axis] - low[axis], 1.0)
        start, end = low[axis], low[axis] + size
        while end <= most[axis]:
            end = start + 2 * (end - start)
        while start > least[axis]:
            start = end - 2 * (end - start)
        sides.append((start, end))
    (x0, x1), (y0, y1), (z0, z1) = sides
    return Bounds((x0, y0, z0), (x1, y1, z1))


def _box_of_volume(
    conn: Connection, datastack: str, nm: Sequence[float]
) -> tuple[list[float], list[float]]:
    """The first and last corner of the segmentation in voxels of `nm`, where it has a volume."""
    segmentation = datastacks.get(conn, datastack).segmentation
    if segmentation.volume is None:
        return [0.0] * 3, [1.0] * 3
    scale = datastacks.open_segmentation_volume(segmentation).scale
    factors = [a / b for a, b in zip(scale.resolution_nm, nm, strict=True)]
    low = [o * f for o, f in zip(scale.voxel_offset, factors, strict=True)]
    return low, [a + s * f for a, s, f in zip(low, scale.size, factors, strict=True)]


def _extent(conn: Connection, base: Relation, shape: Shape) -> tuple[list[float], list[float]]:
    """The least and the greatest coordinates of all points."""
    parts = []
    for axis in range(3):
        values = sql.SQL(", ").join(base.points[p][axis].value(_ROW) for p in shape.points)
        parts.append(sql.SQL("min(least({v})), max(greatest({v}))").format(v=values))
    found = _read(conn, base, shape, sql.SQL(", ").join(parts), sql.SQL(""))
    numbers = [found.column(place)[0].as_py() or 0.0 for place in range(6)]
    return numbers[0::2], numbers[1::2]


def _counts(
    conn: Connection, base: Relation, shape: Shape, bounds: Bounds, grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells (N, 3) that have annotations, by their first point, and how many each (N,)."""
    places = [
        sql.SQL("floor(({} - {}) / {})::bigint").format(
            base.points[shape.points[0]][axis].value(_ROW),
            number(bounds.low[axis]),
            number(bounds.chunk(grid)[axis]),
        )
        for axis in range(3)
    ]
    columns = sql.SQL(", ").join([*places, sql.SQL("count(*)")])
    found = _read(conn, base, shape, columns, sql.SQL(" GROUP BY 1, 2, 3"))
    x, y, z, counts = (np.asarray(found.column(n).to_numpy(), np.int64) for n in range(4))
    return np.clip(np.stack([x, y, z], axis=1), 0, np.array(grid) - 1), counts


def _read(
    conn: Connection,
    base: Relation,
    shape: Shape,
    columns: sql.Composable,
    ending: sql.Composable,
) -> pa.Table:
    statement = sql.SQL("SELECT {} FROM {} AS {} WHERE {}").format(
        columns, base.source, sql.Identifier(_ROW), there(base, shape, _ROW)
    )
    query = (statement + ending).as_string(conn)
    with arrow.stream(conninfo_of(conn), query, DEADLINE_S) as reader:
        return reader.read_all()
