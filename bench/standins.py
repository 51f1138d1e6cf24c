"""The classic way, short: what the engine is held against, on the same data and server.

Live tables keep annotations and their supervoxels and roots apart, rows come in one by one, a
version is a copy of the whole database whose tables are joined and indexed anew, and an answer
goes through pandas. Where the classic way leaves a choice, the stand-in takes the cheaper one.
"""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import sqlalchemy
from numpy.typing import NDArray
from psycopg import sql

from bench import synapses
from matengine.storage.connections import Connection, database_url, open_connection
from matengine.storage.copy import copy_columns

LIVE, FROZEN = "classic", "classic_mat1"
POINTS = ("pre_pt", "ctr_pt", "post_pt")

COMMIT_ROWS = 500

_TABLES = """
CREATE TABLE synapses (
  id bigint PRIMARY KEY, created timestamptz, deleted timestamptz, superceded_id bigint,
  valid boolean, pre_pt_position geometry(PointZ), ctr_pt_position geometry(PointZ),
  post_pt_position geometry(PointZ), size double precision);
CREATE TABLE synapses__seg (
  id bigint PRIMARY KEY, pre_pt_supervoxel_id bigint, pre_pt_root_id bigint,
  post_pt_supervoxel_id bigint, post_pt_root_id bigint);
"""
_SPATIAL = "CREATE INDEX ON {table} USING gist ({point}_position gist_geometry_ops_nd)"
_MERGE = """
CREATE TABLE merged AS
SELECT a.id, a.created, a.deleted, a.superceded_id, a.valid, a.pre_pt_position, a.ctr_pt_position,
  a.post_pt_position, a.size, s.pre_pt_supervoxel_id, s.pre_pt_root_id, s.post_pt_supervoxel_id,
  s.post_pt_root_id
FROM synapses AS a JOIN synapses__seg AS s USING (id)
"""


def create_live(url: str, rows: pa.Table) -> None:
    """The live database of the synapses as the generator wrote them, with their first roots.

    With the indexes by which live tables are asked; a version is a copy of these, too.
    """
    with open_connection(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {LIVE}")
    with open_connection(database_url(LIVE, url)) as conn:
        conn.execute("CREATE EXTENSION postgis")
        conn.execute(_TABLES)
        for batch in rows.to_batches(max_chunksize=1 << 18):
            part = pa.table(batch)
            copy_columns(conn, ("public", "synapses"), _annotations(part))
            found = {
                f"{side}_{what}": synapses.ids(part, f"{side}_{what}")
                for side in synapses.SIDES
                for what in ("supervoxel_id", "root_id")
            }
            copy_columns(conn, ("public", "synapses__seg"), pa.table({"id": part["id"], **found}))
        for point in POINTS:
            conn.execute(_SPATIAL.format(table="synapses", point=point))
        for side in synapses.SIDES:
            conn.execute(f"CREATE INDEX ON synapses__seg ({side}_root_id)")
        conn.commit()
        conn.autocommit = True
        conn.execute("VACUUM ANALYZE")


def _annotations(rows: pa.Table) -> pa.Table:
    columns = {"id": rows["id"], "created": rows["created"]}
    for point in POINTS:
        voxels = np.stack([rows[f"{point}_{axis}"].to_numpy() for axis in "xyz"], axis=1)
        flat = pa.array(voxels.astype(np.float64).ravel())
        columns[f"{point}_position"] = pa.FixedSizeListArray.from_arrays(flat, 3)
    columns["valid"] = pa.array(np.ones(len(rows), bool))
    return pa.table(columns | {"size": rows["size"].cast(pa.float64())})


def update_roots(
    url: str, supervoxels: NDArray[np.int64], roots: NDArray[np.int64], rows: pa.Table
) -> None:
    """Give the live rows at these supervoxels their new roots: one statement a side, by id."""
    order = np.argsort(supervoxels)
    with open_connection(database_url(LIVE, url)) as conn:
        for side in synapses.SIDES:
            mine = synapses.ids(rows, f"{side}_supervoxel_id")
            changed = np.flatnonzero(np.isin(mine, supervoxels))
            new = roots[order[np.searchsorted(supervoxels, mine[changed], sorter=order)]]
            conn.execute(
                f"UPDATE synapses__seg AS s SET {side}_root_id = c.root"  # noqa: S608 - two words
                " FROM unnest(%s::bigint[], %s::bigint[]) AS c (id, root) WHERE s.id = c.id",
                (rows["id"].to_numpy()[changed].tolist(), new.tolist()),
            )
        conn.commit()


def freeze(url: str, told: Callable[[str], None]) -> None:
    """A version: a copy of the live database, its tables joined into one, indexes on that."""
    with open_connection(url, autocommit=True) as server:
        told("CREATE DATABASE")
        server.execute(f"CREATE DATABASE {FROZEN} TEMPLATE {LIVE}")
    with open_connection(database_url(FROZEN, url), autocommit=True) as conn:
        told("CREATE TABLE AS")
        conn.execute(_MERGE)
        conn.execute("DROP TABLE synapses, synapses__seg")
        conn.execute("ALTER TABLE merged RENAME TO synapses")
        told("primary key and B-trees")
        conn.execute("ALTER TABLE synapses ADD PRIMARY KEY (id)")
        for side in synapses.SIDES:
            conn.execute(f"CREATE INDEX ON synapses ({side}_root_id)")
        for point in POINTS:
            told(f"spatial index of {point}")
            conn.execute(_SPATIAL.format(table="synapses", point=point))


def row_wise_ingest(
    conn: Connection,
    rows: pa.Table,
    supervoxel_at: Callable[[NDArray[np.float64]], int],
    root_of: Callable[[int], int],
) -> int:
    """Ingest as services of the classic way do it: every row, point and id by itself.

    conn: a connection to a database that has PostGIS and no tables `synapses`, `synapses__seg`;
    they are made, with the spatial indexes that live tables have. Commits.
    rows: columns as the generator writes them: id, created, {pre,ctr,post}_pt_{x,y,z}, size.
    supervoxel_at: the supervoxel under one point, (3,) float64 in voxels.
    root_of: the root of one supervoxel.
    Returns the number of rows.
    """
    conn.execute(_TABLES)
    for point in POINTS:
        conn.execute(_SPATIAL.format(table="synapses", point=point))
    conn.commit()
    every = rows.to_pylist()
    for number, row in enumerate(every, 1):
        texts = {p: f"POINTZ({row[f'{p}_x']} {row[f'{p}_y']} {row[f'{p}_z']})" for p in POINTS}
        conn.execute(
            "INSERT INTO synapses (id, created, valid, pre_pt_position, ctr_pt_position,"
            " post_pt_position, size) VALUES (%(id)s, %(created)s, true,"
            " ST_GeomFromText(%(pre_pt)s), ST_GeomFromText(%(ctr_pt)s),"
            " ST_GeomFromText(%(post_pt)s), %(size)s)",
            {"id": row["id"], "created": row["created"], "size": row["size"], **texts},
        )
        if number % COMMIT_ROWS == 0:
            conn.commit()
    conn.commit()
    for number, row in enumerate(every, 1):
        found: list[int] = []
        for side in synapses.SIDES:
            supervoxel = supervoxel_at(np.array([row[f"{side}_{axis}"] for axis in "xyz"], float))
            found += [supervoxel, root_of(supervoxel)]
        conn.execute("INSERT INTO synapses__seg VALUES (%s, %s, %s, %s, %s)", (row["id"], *found))
        if number % COMMIT_ROWS == 0:
            conn.commit()
    conn.commit()
    return len(every)


def pandas_answer(engine: sqlalchemy.Engine, query: str) -> bytes:
    """The rows of a query as an Arrow IPC stream, compressed with zstd, by way of pandas.

    engine: `pandas_engine(conninfo)`, kept between calls as a server keeps it.
    query: SQL that names plain columns, points split as `ST_X(p) AS p_x` and so on.
    """
    frame = pd.read_sql(sqlalchemy.text(query), engine)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(out, table.schema, options=options) as stream:
        stream.write_table(table)
    return out.getvalue()


def pandas_engine(conninfo: str) -> sqlalchemy.Engine:
    """A pool of connections for `pandas_answer`; `conninfo` is libpq's, or a URL."""
    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo)
    )


def checksum(conn: Connection, source: sql.Composable, columns: Sequence[str]) -> tuple[int, int]:
    """The number of rows of a relation, and a number that changes with any of these columns."""
    row = conn.execute(
        sql.SQL("SELECT count(*), coalesce(sum(hash_record_extended(({}), 0)::numeric), 0) FROM {}")
        .format(sql.SQL("ROW({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))), source)
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0]), int(row[1])
