"""An epoch that changes a large part of a table, row by row beside written anew."""

import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from psycopg import sql

from bench import synapses
from bench.figure import Figure
from bench.measure import cost
from bench.place import Place
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.engine.versions import catalogue, layout, rebase, verify
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections
from matengine.storage.connections import Connection

ORIGIN = "resegment_origin"
ROOTS_ASKED = 100
UNITS = {
    "rows changed": "rows",
    "CPU": "s",
    "wall": "s",
    "WAL": "MB",
    "disk of the history": "MB",
    "CPU of the vacuum after it": "s",
    "pages a root, old version": "pages",
    "pages a root, new version": "pages",
}
SHARES = (0.1, 0.3, 0.6, 1.0)
# `rebase.SHARE` for the two ways: written anew is ours, row by row what it is held against
WAYS = {"row by row": float("inf"), "written anew": 0.0}


def run(place: Place) -> list[Figure]:
    """Each epoch is made on a copy of the same database, whose objects are merged until the
    given part of the rows changed."""
    folder = synapses.made(place.cache, place.rows)
    figures: list[Figure] = []
    set_before = rebase.LEAST, rebase.SHARE
    rebase.LEAST = 0
    try:
        with place.server() as server:
            place.progress(0, len(SHARES), "first epoch")
            table = prepare(folder)
            with connections.open_connection(server.url, autocommit=True) as admin:
                _leave(admin)
                admin.execute(f"ALTER DATABASE {synapses.NAME} RENAME TO {ORIGIN}")
                for number, share in enumerate(SHARES):
                    made = {}
                    for way, rebase.SHARE in WAYS.items():
                        place.progress(number, len(SHARES), f"{share:.0%} {way}")
                        admin.execute(f"CREATE DATABASE {synapses.NAME} TEMPLATE {ORIGIN}")
                        admin.execute(
                            f"COMMENT ON DATABASE {synapses.NAME} IS '{connections.MARK}'"
                        )
                        with connections.connect(synapses.NAME) as conn:
                            merge(conn, folder, table, share)
                            made[way] = epoch(conn, server.pid)
                        admin.execute(f"DROP DATABASE {synapses.NAME} WITH (FORCE)")
                    figures += _figures(place.rows, share, *made.values())
    finally:
        rebase.LEAST, rebase.SHARE = set_before
    return figures


def _figures(
    rows: int, share: float, by_row: dict[str, float], anew: dict[str, float]
) -> list[Figure]:
    note = "ours is written anew, the stand-in row by row"
    return [
        Figure(f"{share:.0%} of the rows: {what}", anew[what], by_row[what], unit, rows, note)
        for what, unit in UNITS.items()
    ]


def _leave(admin: Connection) -> None:
    """Nobody stays connected to the database, so it can be renamed."""
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
        (synapses.NAME,),
    )


def prepare(folder: Path) -> pa.Table:
    """A database with the first epoch, to be copied; gives the synapses."""
    connections.create_aligned_volume(synapses.NAME)
    with connections.connect(synapses.NAME) as conn:
        table = synapses.bring(conn, folder)
        synapses.materialize(conn)
        conn.autocommit = True
        conn.execute("VACUUM ANALYZE")
    return table


def merge(conn: Connection, folder: Path, table: pa.Table, share: float) -> None:
    """Merge pairs of objects until `share` of the rows have other roots."""
    assignment = pq.read_table(folder / "supervoxels.parquet")
    supervoxels = synapses.ids(assignment, "supervoxel_id")
    roots = synapses.ids(assignment, "root_id")
    objects = np.random.default_rng(1).permutation(np.unique(roots))
    sorter = np.argsort(supervoxels)

    def place(point: str) -> NDArray[np.int64]:
        """For each row, where the root at one of its ends is in `objects`."""
        ids = synapses.ids(table, f"{point}_supervoxel_id")
        found = np.searchsorted(supervoxels, ids, sorter=sorter)
        at = roots[sorter[np.minimum(found, len(sorter) - 1)]]
        order = np.argsort(objects)
        there = order[np.searchsorted(objects, at, sorter=order)]
        known = supervoxels[sorter[np.minimum(found, len(sorter) - 1)]] == ids
        return np.where(known, there, len(objects))

    first = np.sort(np.minimum(place("pre_pt"), place("post_pt")))
    taken = int(first[min(len(first) - 1, round(share * len(first)))])
    chosen = objects[: taken + 1]
    mine = np.isin(roots, chosen)
    order = np.argsort(chosen)
    local.relabel(
        conn,
        synapses.NAME,
        supervoxels[mine],
        order[np.searchsorted(chosen, roots[mine], sorter=order)] // 2 + 1,
    )
    conn.commit()


def epoch(conn: Connection, postmaster: int) -> dict[str, float]:
    """Make the second epoch, and vacuum after it; what that cost and what is there then."""
    conn.execute("CHECKPOINT")
    conn.commit()
    with cost("epoch", conn, postmaster) as made:
        synapses.materialize(conn)
    size = _size(conn)
    conn.commit()
    conn.autocommit = True
    with cost("vacuum", conn, postmaster) as vacuumed:
        conn.execute(sql.SQL("VACUUM ANALYZE {}").format(_history(conn)))
    conn.autocommit = False
    newest = catalogue.newest(conn, synapses.NAME)
    (told,) = catalogue.tables_at(conn, synapses.NAME, newest.epoch)
    right = all(t.right for v in (1, 2) for t in verify.verify(conn, synapses.NAME, v))
    assert right, "a version is not what was published"
    return {
        "rows changed": told.rows_added,
        "CPU": made.cpu_s,
        "wall": made.wall_s,
        "WAL": made.wal_bytes / 1e6,
        "disk of the history": size / 1e6,
        "CPU of the vacuum after it": vacuumed.cpu_server_s,
        "pages a root, old version": _pages(conn, 1),
        "pages a root, new version": _pages(conn, 2),
    }


def _history(conn: Connection) -> sql.Identifier:
    return layout.layout_of(conn, synapses.TABLE, synapses.NAME).history


def _size(conn: Connection) -> int:
    row = conn.execute(
        "SELECT pg_total_relation_size(%s::regclass)", (_history(conn).as_string(conn),)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _pages(conn: Connection, version: int) -> float:
    """Pages read for all rows of one root, the mean of many roots."""
    epoch = catalogue.version(conn, synapses.NAME, version).epoch
    roots = conn.execute(
        sql.SQL(
            "SELECT post_pt_root_id FROM {} AS h WHERE {} ORDER BY hashint8(id) LIMIT %s"
        ).format(_history(conn), layout.visible("h", epoch)),
        (ROOTS_ASKED,),
    ).fetchall()
    pages = []
    for (root,) in roots:
        one = Filter(synapses.TABLE, "post_pt_root_id", Op.EQUAL, root)
        asked = answer.plan(conn, synapses.NAME, version, Query(synapses.TABLE, filters=(one,)))
        (plan,) = conn.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(asked.statement)
        ).fetchone() or ({},)
        pages.append(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])
    conn.commit()
    return round(statistics.mean(pages), 1)
