"""What was said of annotation tables when an epoch was made, kept with the epoch."""

from alembic import op

revision = "0006"
down_revision = "0005"

# A line where it differs from the line before, so that an epoch costs what changed.
# `notice_text` and the permissions are not here: they are about the present, whatever is read.
TABLE = """
CREATE TABLE matengine.table_metadata (
  datastack text NOT NULL,
  table_name text NOT NULL,
  epoch integer NOT NULL,                   -- the first epoch of which this is true
  schema_type text NOT NULL,
  description text NOT NULL,
  user_id text NOT NULL,
  voxel_resolution_x double precision NOT NULL,
  voxel_resolution_y double precision NOT NULL,
  voxel_resolution_z double precision NOT NULL,
  reference_table text,
  flat_segmentation_source text,
  created timestamptz NOT NULL,
  last_modified timestamptz NOT NULL,
  PRIMARY KEY (datastack, table_name, epoch),
  FOREIGN KEY (datastack, epoch) REFERENCES matengine.epoch ON DELETE CASCADE);
"""

# of epochs made before there was this table: what is known now
KNOWN = """
INSERT INTO matengine.table_metadata
SELECT t.datastack, t.table_name, min(t.epoch), m.schema_type, m.description, m.user_id,
  m.voxel_resolution_x, m.voxel_resolution_y, m.voxel_resolution_z, m.reference_table,
  m.flat_segmentation_source, m.created, m.last_modified
FROM matengine.epoch_table AS t JOIN public.annotation_table_metadata AS m USING (table_name)
GROUP BY t.datastack, t.table_name, m.id;
"""

GUARD = """
CREATE FUNCTION matengine.guard_table_metadata() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  told matengine.table_metadata := CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
BEGIN
  IF TG_OP = 'UPDATE' OR EXISTS (
      SELECT FROM matengine.epoch AS e WHERE e.datastack = told.datastack
      AND e.epoch = told.epoch AND e.sealed IS NOT NULL) THEN
    PERFORM matengine.refuse(format('epoch %s of %s is sealed', told.epoch, told.datastack));
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON matengine.table_metadata
  FOR EACH ROW EXECUTE FUNCTION matengine.guard_table_metadata();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON matengine.table_metadata
  EXECUTE FUNCTION matengine.guard_refuse('it holds sealed epochs');
"""


def upgrade() -> None:
    for statement in (TABLE, KNOWN, GUARD):
        op.execute(statement.replace(":", "\\:"))
