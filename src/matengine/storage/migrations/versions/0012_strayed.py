"""Live rows that are not what versions show of them: removed, or with a point moved in place.

A row of an annotation table does not change, and ends by its `deleted`. Programs may break that.
Versions keep what they showed; whoever finds rows of versions by an index of the live table must
know which rows that index has lost.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

STRAYED = """
CREATE TABLE matengine.strayed (
  table_name text NOT NULL,
  first_id bigint NOT NULL,
  last_id bigint NOT NULL);
CREATE INDEX ON matengine.strayed (table_name);

CREATE FUNCTION matengine.stray(target text, ids bigint[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO matengine.strayed (table_name, first_id, last_id)
  SELECT target, min(id), max(id)
  FROM (SELECT id, id - row_number() OVER (ORDER BY id) AS run FROM unnest(ids) AS u(id)) AS n
  GROUP BY run;
$$;

CREATE OR REPLACE FUNCTION matengine.note_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(id), array_agg(clock_timestamp())),
    matengine.stray(TG_TABLE_NAME, array_agg(id))
  FROM old_rows HAVING count(*) > 0;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION matengine.note_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  moved text;
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(n.id), array_agg(n.deleted))
  FROM new_rows AS n JOIN old_rows AS o USING (id)
  WHERE n.deleted IS NOT NULL AND n.deleted IS DISTINCT FROM o.deleted HAVING count(*) > 0;
  SELECT string_agg(format(' OR n.%1$I IS DISTINCT FROM o.%1$I', attname), '') INTO moved
  FROM pg_attribute
  WHERE attrelid = TG_RELID AND atttypid = to_regtype('geometry') AND NOT attisdropped;
  EXECUTE format('SELECT matengine.stray(%L, array_agg(o.id))'
    ' FROM old_rows AS o LEFT JOIN new_rows AS n USING (id)'
    ' WHERE n.id IS NULL%s HAVING count(*) > 0', TG_TABLE_NAME, moved);
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION matengine.note_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
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
  INSERT INTO matengine.strayed (table_name, first_id, last_id)
  SELECT TG_TABLE_NAME, smallest, largest WHERE smallest IS NOT NULL;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(STRAYED.replace(":", "\\:"))
