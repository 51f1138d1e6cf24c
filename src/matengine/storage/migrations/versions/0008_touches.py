"""Embedded chunkedgraphs: which supervoxels each edit touched, from which level-2 ids follow."""

from alembic import op

revision = "0008"
down_revision = "0007"

# numbered as edits number them: in the order of time, those of one edit by supervoxel
TOUCHES = """
DO $do$
DECLARE
  graph text;
BEGIN
  FOR graph IN SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'graph_') LOOP
    EXECUTE format($sql$
      CREATE TABLE %1$I.touch (
        number bigint PRIMARY KEY, supervoxel_id bigint NOT NULL, at_ms bigint NOT NULL,
        UNIQUE (supervoxel_id, at_ms));
      INSERT INTO %1$I.touch
      SELECT row_number() OVER (ORDER BY at_ms, supervoxel_id), supervoxel_id, at_ms FROM (
        SELECT unnest(ARRAY[a, b]) AS supervoxel_id, from_ms AS at_ms
        FROM %1$I.edge, %1$I.meta WHERE from_ms > start_ms
        UNION SELECT unnest(ARRAY[a, b]), to_ms
        FROM %1$I.edge WHERE to_ms < 9223372036854775807) AS touched
      $sql$, graph);
  END LOOP;
END $do$;
"""


def upgrade() -> None:
    op.execute(TOUCHES.replace(":", "\\:"))
