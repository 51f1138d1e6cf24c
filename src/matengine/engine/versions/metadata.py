"""What was true of annotation tables when an epoch was made, kept with the epoch.

Descriptions, owners and resolutions are those of the version, so that a citation says what it said.
Permissions and notices are those of the present: a table that was closed is closed in all versions,
and a warning reaches those who read an old one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.runs.runs import Run
from matengine.storage.connections import Connection

_RECORD = """
INSERT INTO matengine.table_metadata
SELECT t.datastack, t.table_name, t.epoch, now.*
FROM matengine.epoch_table AS t
JOIN public.annotation_table_metadata AS m USING (table_name)
CROSS JOIN LATERAL (
  SELECT m.schema_type::text, m.description, m.user_id::text, m.voxel_resolution_x,
    m.voxel_resolution_y, m.voxel_resolution_z, m.reference_table::text,
    m.flat_segmentation_source::text, m.created, m.last_modified) AS now
LEFT JOIN LATERAL (
  SELECT schema_type, description, user_id, voxel_resolution_x, voxel_resolution_y,
    voxel_resolution_z, reference_table, flat_segmentation_source, created, last_modified
  FROM matengine.table_metadata AS b
  WHERE b.datastack = t.datastack AND b.table_name = t.table_name AND b.epoch < t.epoch
  ORDER BY b.epoch DESC LIMIT 1) AS before ON true
WHERE t.datastack = %s AND t.epoch = %s AND before IS DISTINCT FROM now
"""

_SELECT = """
SELECT t.table_name AS name, told.schema_type, told.description,
  ARRAY[told.voxel_resolution_x, told.voxel_resolution_y, told.voxel_resolution_z]
    AS voxel_resolution_nm,
  told.user_id, m.read_permission, m.write_permission, m.notice_text, told.reference_table,
  told.flat_segmentation_source, true AS valid, told.created, NULL AS deleted,
  told.last_modified, m.id, t.epoch, e.time, t.row_count, t.gaps, t.fingerprint
FROM matengine.epoch_table AS t
JOIN matengine.epoch AS e USING (datastack, epoch)
JOIN public.annotation_table_metadata AS m USING (table_name)
CROSS JOIN LATERAL (
  SELECT * FROM matengine.table_metadata AS b
  WHERE b.datastack = t.datastack AND b.table_name = t.table_name AND b.epoch <= t.epoch
  ORDER BY b.epoch DESC LIMIT 1) AS told
WHERE t.datastack = %s AND t.epoch = %s AND e.sealed IS NOT NULL
ORDER BY t.table_name
"""


@dataclass(frozen=True)
class VersionMetadata(TableMetadata):
    """A table of an epoch: what was said of it then, and what it holds.

    `read_permission`, `write_permission` and `notice_text` are those of the present. `user_id` is
    the owner of then: whether somebody may read is asked of the live table. A table that a version
    shows was not deleted then, so `deleted` is None and `valid` is true.
    """

    epoch: int
    time: datetime
    row_count: int
    gaps: int
    fingerprint: int


def record(conn: Connection, run: Run) -> None:
    """Keep what is said of the tables of a run's epoch, where it differs from the epoch before."""
    conn.execute(_RECORD, (run.datastack, run.epoch))


def at_epoch(conn: Connection, datastack: str, epoch: int) -> list[VersionMetadata]:
    """All tables of a sealed epoch, by name."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_SELECT, (datastack, epoch)).fetchall()
    return [_metadata(row) for row in found]


def _metadata(row: dict[str, Any]) -> VersionMetadata:
    typed = {
        "voxel_resolution_nm": tuple(row["voxel_resolution_nm"]),
        "fingerprint": int(row["fingerprint"]),
    }
    return VersionMetadata(**row | typed)
