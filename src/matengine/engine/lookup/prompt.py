"""Looking up rows on the heels of whoever wrote them.

What is not found here is looked up by the epoch that takes the rows up.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.datastacks import Segmentation
from matengine.engine.lookup import ingest
from matengine.engine.lookup.supervoxels import supervoxels
from matengine.engine.versions import layout, resolve
from matengine.engine.versions.layout import Layout
from matengine.engine.versions.resolve import Rows
from matengine.segmentation.volume import Volume
from matengine.storage.connections import Connection


def look_up(conn: Connection, datastack: str, table: str, ids: Sequence[int]) -> int:
    """Find the supervoxels of some rows and keep them for the epoch to come. Commits.

    Gives the number of rows that are done; 0 for tables without bound points and segmentations
    without a volume. Rows with a point in a part of the volume that cannot be read are left out.
    """
    segmentation = datastacks.get(conn, datastack).segmentation
    where = layout.layout_of(conn, table, segmentation.name)
    if not where.supervoxels or segmentation.volume is None:
        return 0
    found, points = _points(conn, where, ids)
    conn.commit()  # reading a volume may take long
    rows = _resolved(segmentation, where, found, points)
    # locks until the end of its transaction, so after the reading
    layout.create(conn, where)
    resolve.keep(conn, where, rows)
    conn.commit()
    return len(rows.ids)


def ask(conn: Connection, datastack: str) -> None:
    """Have workers look up all rows that are new. Commits.

    A run that nobody has begun yet will see them too, so there is no other one beside it.
    """
    waiting = conn.execute(
        "SELECT 1 FROM matengine.run WHERE datastack = %s AND workflow = 'ingest'"
        " AND status = 'running' AND phase = 'wait' LIMIT 1",
        (datastack,),
    ).fetchone()
    conn.commit()
    if waiting is None:
        ingest.start(conn, datastack)


def _points(
    conn: Connection, where: Layout, ids: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows there are, (N,), and their bound points (N, points, 3) in voxels; NaN for none."""
    columns = [
        sql.SQL("ST_{axis}({point})").format(axis=sql.SQL(axis), point=sql.Identifier(position))
        for position in where.positions
        for axis in "XYZ"
    ]
    answer = conn.execute(
        sql.SQL("SELECT id, {} FROM {} WHERE id = ANY(%s) AND deleted IS NULL ORDER BY id").format(
            sql.SQL(", ").join(columns), where.live
        ),
        (list(ids),),
    ).fetchall()
    found = np.array([row[0] for row in answer], np.int64)
    points = np.array([row[1:] for row in answer], np.float64)
    return found, points.reshape(len(found), len(where.positions), 3)


def _resolved(
    segmentation: Segmentation,
    where: Layout,
    ids: NDArray[np.int64],
    points: NDArray[np.float64],
) -> Rows:
    """The rows all of whose points could be looked up."""
    volume = _volume(
        segmentation.name, segmentation.volume, tuple(segmentation.resolution_nm or ())
    )

    def lookup(voxels: NDArray[np.float64]) -> NDArray[np.int64]:
        return volume.supervoxels(voxels, voxel_resolution_nm=where.voxel_resolution_nm)

    answers = [supervoxels(lookup, points[:, number]) for number in range(points.shape[1])]
    known = np.all([answer.known for answer in answers], axis=0)
    rows = Rows(ids[known])
    rows.supervoxels = [answer.ids[known] for answer in answers]
    rows.known = [answer.known[known] for answer in answers]
    return rows


@lru_cache(maxsize=8)
def _volume(name: str, url: str | None, resolution_nm: tuple[float, ...]) -> Volume:
    """An open volume, kept by the process with its cache of chunks."""
    return datastacks.open_segmentation_volume(Segmentation(name, url, list(resolution_nm) or None))
