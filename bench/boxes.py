"""Indexes for boxes: GiST in three and in two dimensions, and a B-tree on Morton codes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench import synapses
from bench.figure import Figure
from bench.place import Place, Server
from bench.tree import Tree
from matengine.storage import connections
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

BOXES = 100
WANTED = 2_500
"""Rows in a box, about."""
ADDED = 20_000
RANGES = 128
"""Ranges of codes that a box is cut into, at most."""
LONG_Z = 10
"""A voxel's z in x: codes are of cells that are as long each way."""

_COUNT = "SELECT count(*) FROM points"
_EXACT = (
    " WHERE ST_X(p) BETWEEN %(x0)s AND %(x1)s AND ST_Y(p) BETWEEN %(y0)s AND %(y1)s"
    " AND ST_Z(p) BETWEEN %(z0)s AND %(z1)s"
)
KINDS = {
    "GiST, three dimensions": (
        "USING gist (p gist_geometry_ops_nd)",
        _COUNT + _EXACT + " AND p &&& ST_MakeLine("
        "ST_MakePoint(%(x0)s, %(y0)s, %(z0)s), ST_MakePoint(%(x1)s, %(y1)s, %(z1)s))",
    ),
    "SP-GiST, three dimensions": (
        "USING spgist (p spgist_geometry_ops_nd)",
        _COUNT + _EXACT + " AND p &&& ST_MakeLine("
        "ST_MakePoint(%(x0)s, %(y0)s, %(z0)s), ST_MakePoint(%(x1)s, %(y1)s, %(z1)s))",
    ),
    "GiST, two dimensions": (
        "USING gist (p)",
        _COUNT + _EXACT + " AND p && ST_MakeLine("
        "ST_MakePoint(%(x0)s, %(y0)s), ST_MakePoint(%(x1)s, %(y1)s))",
    ),
    "Morton B-tree": (
        "(morton(p))",
        "SELECT count(*)"  # noqa: S608 - the constants above
        " FROM unnest(%(first)s::bigint[], %(last)s::bigint[]) AS r (first, last),"
        " LATERAL (SELECT p FROM points WHERE morton(p) BETWEEN r.first AND r.last OFFSET 0) AS f"
        + _EXACT,
    ),
}

Cells = NDArray[np.int64]


def run(place: Place) -> list[Figure]:
    """With each: build it, count the rows of the same boxes by it, add rows to it."""
    table = pq.read_table(synapses.made(place.cache, place.rows) / "synapses.parquet")
    points = np.stack([table[f"ctr_pt_{axis}"].to_numpy() for axis in "xyz"], axis=1).astype(int)
    boxes = _boxes(points)
    figures: list[Figure] = []
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME, autocommit=True) as conn:
            conn.execute("CREATE TABLE points (p geometry(PointZ))")
            conn.execute(_morton_function().encode())
            _add(conn, points)
            conn.execute("VACUUM ANALYZE points")
            counts = []
            for name in KINDS:
                found, costs = _measure(conn, server, name, points, boxes)
                counts.append(found)
                figures += [Figure(f"{name}: {what}", cost, None, unit, place.rows)
                            for what, (cost, unit) in costs.items()]  # fmt: skip
    if counts.count(counts[0]) != len(counts):
        raise AssertionError("They count other rows.")
    return figures


def _measure(
    conn: Connection, server: Server, name: str, points: Cells, boxes: list[dict[str, object]]
) -> tuple[list[int], dict[str, tuple[float, str]]]:
    tree = Tree([server.pid])
    index, query = KINDS[name]
    costs: dict[str, tuple[float, str]] = {}
    before = tree.cpu_s()
    conn.execute(f"CREATE INDEX box ON points {index}".encode())
    costs["build, CPU"] = (tree.cpu_s() - before, "s")
    conn.execute("ANALYZE points")
    (size,) = conn.execute("SELECT pg_relation_size('box')").fetchone() or (0,)
    costs["size"] = (size / 1e6, "MB")
    counts = [_count(conn, query, box) for box in boxes]
    before = tree.cpu_s()
    counts = [_count(conn, query, box) for box in boxes]
    rows = round(sum(counts) / len(counts))
    costs[f"a box of {rows:,} rows, CPU"] = (1000 * (tree.cpu_s() - before) / len(boxes), "ms")
    before = tree.cpu_s()
    with conn.transaction(force_rollback=True):
        _add(conn, points[np.random.default_rng(0).integers(0, len(points), ADDED)])
    costs["a row more, CPU"] = (1e6 * (tree.cpu_s() - before) / ADDED, "us")
    conn.execute("DROP INDEX box")
    return counts, costs


def _count(conn: Connection, query: str, box: dict[str, object]) -> int:
    (count,) = conn.execute(query.encode(), box).fetchone() or (0,)
    return int(count)


def _add(conn: Connection, points: Cells) -> None:
    flat = pa.array(points.astype(float).ravel())
    copy_columns(
        conn, ("public", "points"), pa.table({"p": pa.FixedSizeListArray.from_arrays(flat, 3)})
    )


def _boxes(points: Cells) -> list[dict[str, object]]:
    """Cubes around rows, with what each kind of query needs of them."""
    size = points.max(axis=0) + 1
    half = (size * (WANTED / len(points)) ** (1 / 3) / 2).astype(int)
    middles = points[np.random.default_rng(1).integers(0, len(points), BOXES)]
    return [_box(np.maximum(m - half, 0), m + half) for m in middles]


def _box(low: Cells, high: Cells) -> dict[str, object]:
    first, last = _ranges(*(side * (1, 1, LONG_Z) for side in (low, high)))
    ends = {f"{a}{n}": int(v) for n, side in enumerate((low, high))
            for a, v in zip("xyz", side, strict=True)}  # fmt: skip
    return ends | {"first": first.tolist(), "last": last.tolist()}


def _ranges(low: Cells, high: Cells) -> tuple[Cells, Cells]:
    """The codes of the smallest cells of which no more than RANGES cover a box."""
    shift = 0
    while np.prod((high >> shift) - (low >> shift) + 1) > RANGES:
        shift += 1
    axes = [np.arange(a, b + 1) for a, b in zip(low >> shift, high >> shift, strict=True)]
    cells = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)
    code = np.zeros(len(cells), np.int64)
    for bit in range(21 - shift):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    code = np.sort(code)
    starts = np.flatnonzero(np.diff(code, prepend=-2) != 1)
    ends = np.append(starts[1:], len(code)) - 1
    return code[starts] << 3 * shift, ((code[ends] + 1) << 3 * shift) - 1


def _morton_function() -> str:
    """The code of a point, as cheap as SQL makes it: seven bits at a time by a table."""
    spread = [sum((number >> bit & 1) << 3 * bit for bit in range(7)) for number in range(128)]
    table = f"('{{{','.join(map(str, spread))}}}'::bigint[])"

    def axis(value: str, place: int) -> str:
        parts = [f"({table}[({value} >> {7 * n} & 127) + 1] << {21 * n + place})" for n in range(3)]
        return " | ".join(parts)

    values = ("ST_X(p)::bigint", "ST_Y(p)::bigint", f"(ST_Z(p)::bigint * {LONG_Z})")
    codes = " | ".join(axis(value, place) for place, value in enumerate(values))
    return (
        "CREATE FUNCTION morton(p geometry) RETURNS bigint LANGUAGE sql IMMUTABLE"
        f" AS $$ SELECT {codes} $$"
    )
