"""What partitions cost: a root's rows, and rows closed, of a table in 1 to 256 parts."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from bench import synapses
from bench.figure import Figure
from bench.measure import Cost, cost
from bench.place import Place
from matengine.engine.versions import planner
from matengine.storage import connections
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

PARTS = (1, 16, 64, 256)
QUESTIONS, CLOSED = 100, 10_000
POINTS = [f"{point}_{axis}" for point in ("pre_pt", "ctr_pt", "post_pt") for axis in "xyz"]
IDS = ["pre_pt_supervoxel_id", "post_pt_supervoxel_id", "pre_pt_root_id", "post_pt_root_id"]


def run(place: Place) -> list[Figure]:
    """A table as wide as a history, hashed by id as a large one would be."""
    rows = pq.read_table(synapses.made(place.cache, place.rows) / "synapses.parquet")
    root, count = np.unique(rows["post_pt_root_id"].to_numpy(), return_counts=True)
    asked = root[np.argsort(count)[-QUESTIONS:]].astype(np.int64).tolist()
    closed = np.random.default_rng(0).choice(place.rows, CLOSED, replace=False) + 1
    figures = []
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:

            def tell(name: str, parts: int, work: Callable[[], object], unit: str, n: int) -> None:
                with cost(name, conn, server.pid) as found:
                    work()
                    conn.commit()
                figures.append(_figure(f"{parts} parts: {name}", found, unit, n, place.rows))

            for number, parts in enumerate(PARTS):
                place.progress(number, len(PARTS), f"{parts} parts")
                _make(conn, parts, rows)
                _ask(conn, asked[:1])  # caches of the catalogue are warm
                tell("rows of a root", parts, lambda: _ask(conn, asked), "ms", QUESTIONS)
                tell("close rows", parts, lambda: _close(conn, closed.tolist()), "µs", CLOSED)
    return figures


def _figure(name: str, found: Cost, unit: str, count: int, rows: int) -> Figure:
    scale = {"ms": 1e3, "µs": 1e6}[unit]
    return Figure(f"{name}: CPU", scale * found.cpu_server_s / count, None, unit, rows)


def _make(conn: Connection, parts: int, rows: pa.Table) -> None:
    columns = [(n, "integer") for n in POINTS] + [(n, "bigint") for n in IDS]
    conn.execute("DROP TABLE IF EXISTS parted")
    conn.execute(
        sql.SQL(
            "CREATE TABLE parted (id bigint, from_epoch integer, to_epoch integer, {})"
            " PARTITION BY HASH (id)"
        ).format(sql.SQL(", ").join(sql.Identifier(n) + sql.SQL(" " + kind) for n, kind in columns))
    )
    for part in range(parts):
        conn.execute(
            sql.SQL(
                "CREATE TABLE {} PARTITION OF parted FOR VALUES WITH (MODULUS {}, REMAINDER {})"
                " WITH (fillfactor = 90)"
            ).format(sql.Identifier(f"parted_{part}"), sql.Literal(parts), sql.Literal(part))
        )
    made = {"id": rows["id"], "from_epoch": pa.array(np.ones(len(rows), np.int32)),
            "to_epoch": pa.array(np.full(len(rows), 2**31 - 1, np.int32))}  # fmt: skip
    made |= {n: rows[n] for n in POINTS} | {n: rows[n].cast(pa.int64()) for n in IDS}
    order = np.argsort(made["post_pt_root_id"].to_numpy(), kind="stable")
    copy_columns(conn, ("public", "parted"), pa.table(made).take(order))
    for column in ("id", *IDS[2:]):
        conn.execute(sql.SQL("CREATE INDEX ON parted ({})").format(sql.Identifier(column)))
    conn.execute("ANALYZE parted")
    conn.commit()


def _ask(conn: Connection, roots: list[int]) -> None:
    for root in roots:
        conn.execute(
            "SELECT * FROM parted WHERE post_pt_root_id = %s AND from_epoch <= 1 AND to_epoch > 1",
            (root,), prepare=False, binary=True,
        ).fetchall()  # fmt: skip


def _close(conn: Connection, ids: list[int]) -> None:
    conn.execute(
        "CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT unnest(%s::bigint[]) AS id", (ids,)
    )
    conn.execute("ANALYZE gone")
    planner.use_indexes(conn)
    conn.execute("UPDATE parted p SET to_epoch = 2 FROM gone WHERE p.id = gone.id")
