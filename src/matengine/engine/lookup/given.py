"""Supervoxels that annotators looked up themselves, so that the engine need not."""

import numpy as np
import pyarrow as pa

from matengine.engine import datastacks
from matengine.engine.versions import layout, resolve
from matengine.engine.versions.resolve import Rows
from matengine.errors import Invalid
from matengine.storage.connections import Connection


def give(conn: Connection, datastack: str, table: str, columns: pa.Table) -> None:
    """Take over the supervoxels of new rows: `id` and each point's supervoxel id, all int64.

    They are believed, and used by the epoch that takes the rows up; rows that an epoch has taken
    up, or whose supervoxels are known already, stay as they are. Raises Invalid for missing
    columns and NULLs.
    """
    where = layout.layout_of(conn, table, datastacks.get(conn, datastack).segmentation.name)
    for name in ("id", *where.supervoxels):
        if name not in columns.column_names or columns[name].null_count:
            raise Invalid(f"Given supervoxels need a column '{name}' without nulls.")
    layout.create(conn, where)
    columns = columns.sort_by("id")
    rows = Rows(np.asarray(columns["id"], np.int64))
    for name in where.supervoxels:
        rows.supervoxels.append(np.asarray(columns[name], np.int64))
        rows.known.append(np.ones(len(rows.ids), np.bool_))
    resolve.keep(conn, where, rows)
    conn.execute("DROP TABLE IF EXISTS pg_temp.resolved")
