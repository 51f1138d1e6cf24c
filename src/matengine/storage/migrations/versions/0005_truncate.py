"""Changes: an annotation table that is emptied by TRUNCATE."""

from alembic import op

revision = "0005"
down_revision = "0004"

TRIGGER = """
CREATE FUNCTION matengine.note_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  smallest bigint;
  largest bigint;
BEGIN
  EXECUTE format('SELECT min(id), max(id) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)
    INTO smallest, largest;
  -- one run of all ids: the epoch that takes it up closes those that are not there any more
  INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
  SELECT name, TG_TABLE_NAME, 'delete', smallest, largest, clock_timestamp()
  FROM matengine.datastack WHERE smallest IS NOT NULL;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(TRIGGER.replace(":", "\\:"))
