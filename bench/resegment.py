"""What an epoch costs that changes a large part of a table: row by row, or written anew.

`python -m bench.resegment --rows 1000000` on a private server of its own. Each epoch is made on a
copy of the same database, where objects were merged until the given part of the rows changed.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from psycopg import sql

from bench import epochs
from bench.measure import cost
from matengine import settings
from matengine.box.postgres import PrivatePostgres
from matengine.engine.annotations import bulk
from matengine.engine.lookup import given
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.engine.versions import catalogue, layout, rebase, verify
from matengine.segmentation.chunkedgraph import local
from matengine.settings import Settings
from matengine.storage import connections
from matengine.storage.connections import Connection

ORIGIN = "resegment_origin"
ROOTS_ASKED = 100
# `rebase.SHARE` for the two ways
WAYS = {"row by row": float("inf"), "written anew": 0.0}


def prepare(folder: Path) -> pa.Table:
    """A database with the first epoch, to be copied; gives the synapses."""
    connections.create_aligned_volume(epochs.NAME)
    synapses = pq.read_table(folder / "synapses.parquet")
    with connections.connect(epochs.NAME) as conn:
        epochs._make_datastack(conn, folder)
        bulk.load(conn, epochs.TABLE, epochs._rows(synapses))
        given.give(conn, epochs.NAME, epochs.TABLE, epochs._supervoxels(synapses))
        conn.commit()
        epochs._epoch(conn)
        conn.autocommit = True
        conn.execute("VACUUM ANALYZE")
    return synapses


def merge(conn: Connection, folder: Path, synapses: pa.Table, share: float) -> None:
    """Merge pairs of objects until `share` of the rows have other roots."""
    table = pq.read_table(folder / "supervoxels.parquet")
    supervoxels = table["supervoxel_id"].to_numpy().astype(np.int64)
    roots = table["root_id"].to_numpy().astype(np.int64)
    objects = np.random.default_rng(1).permutation(np.unique(roots))
    sorter = np.argsort(supervoxels)

    def place(point: str) -> NDArray[np.int64]:
        """For each row, where the root at one of its ends is in `objects`."""
        ids = synapses[f"{point}_supervoxel_id"].to_numpy().astype(np.int64)
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
        epochs.NAME,
        supervoxels[mine],
        order[np.searchsorted(chosen, roots[mine], sorter=order)] // 2 + 1,
    )
    conn.commit()


def epoch(conn: Connection, postmaster: int) -> dict[str, Any]:
    """Make the second epoch, and vacuum after it; what that cost and what is there then."""
    conn.execute("CHECKPOINT")
    conn.commit()
    with cost("epoch", conn, postmaster) as made:
        epochs._epoch(conn)
    size = _size(conn)
    conn.commit()
    conn.autocommit = True
    with cost("vacuum", conn, postmaster) as vacuumed:
        conn.execute(sql.SQL("VACUUM ANALYZE {}").format(_history(conn)))
    conn.autocommit = False
    newest = catalogue.newest(conn, epochs.NAME)
    (told,) = catalogue.tables_at(conn, epochs.NAME, newest.epoch)
    right = all(t.right for v in (1, 2) for t in verify.verify(conn, epochs.NAME, v))
    assert right, "a version is not what was published"
    return {
        "rows changed": told.rows_added,
        "CPU s": round(made.cpu_client_s + made.cpu_server_s, 1),
        "wall s": round(made.wall_s, 1),
        "WAL MB": round(made.wal_bytes / 1e6),
        "disk MB": round(size / 1e6),
        "CPU s of the vacuum after it": round(vacuumed.cpu_server_s, 1),
        "pages a root, old version": _pages(conn, 1),
        "pages a root, new version": _pages(conn, 2),
    }


def _history(conn: Connection) -> sql.Identifier:
    return layout.layout_of(conn, epochs.TABLE, epochs.NAME).history


def _size(conn: Connection) -> int:
    row = conn.execute(
        "SELECT pg_total_relation_size(%s::regclass)", (_history(conn).as_string(conn),)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _pages(conn: Connection, version: int) -> float:
    """Pages read for all rows of one root, the mean of many roots."""
    epoch = catalogue.version(conn, epochs.NAME, version).epoch
    roots = conn.execute(
        sql.SQL(
            "SELECT post_pt_root_id FROM {} AS h WHERE {} ORDER BY hashint8(id) LIMIT %s"
        ).format(_history(conn), layout.visible("h", epoch)),
        (ROOTS_ASKED,),
    ).fetchall()
    pages = []
    for (root,) in roots:
        one = Filter(epochs.TABLE, "post_pt_root_id", Op.EQUAL, root)
        asked = answer.plan(conn, epochs.NAME, version, Query(epochs.TABLE, filters=(one,)))
        (plan,) = conn.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(asked.statement)
        ).fetchone() or ({},)
        pages.append(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])
    conn.commit()
    return round(statistics.mean(pages), 1)


def main(
    rows: Annotated[int, typer.Option(help="Synapses.")] = 1_000_000,
    data: Annotated[
        Path | None, typer.Option(help="A folder of synthetic synapses; made where not given.")
    ] = None,
    shares: Annotated[str, typer.Option(help="Parts of the rows that change.")] = "0.1,0.3,0.6,1",
) -> None:
    """Make the same epoch both ways, for several parts of the rows changed; say what it cost."""
    folder = data or epochs.data(Path(".cache") / "bench", rows)
    rebase.LEAST = 0
    with tempfile.TemporaryDirectory(prefix="matengine-bench-") as place:
        Path(place).chmod(0o755)
        with PrivatePostgres(Path(place) / "postgres") as server:
            settings.use(Settings(server.url))
            assert server.process is not None
            synapses = prepare(folder)
            with connections.open_connection(server.url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = %s",
                    (epochs.NAME,),
                )
                admin.execute(f"ALTER DATABASE {epochs.NAME} RENAME TO {ORIGIN}")
                for share in map(float, shares.split(",")):
                    for way, rebase.SHARE in WAYS.items():
                        admin.execute(f"CREATE DATABASE {epochs.NAME} TEMPLATE {ORIGIN}")
                        admin.execute(f"COMMENT ON DATABASE {epochs.NAME} IS '{connections.MARK}'")
                        with connections.connect(epochs.NAME) as conn:
                            merge(conn, folder, synapses, share)
                            figures = epoch(conn, server.process.pid)
                        print(json.dumps({"share": share, "way": way} | figures), flush=True)
                        admin.execute(f"DROP DATABASE {epochs.NAME} WITH (FORCE)")


if __name__ == "__main__":
    typer.run(main)
