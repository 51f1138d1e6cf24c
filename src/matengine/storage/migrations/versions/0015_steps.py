"""Overlays that go on from step to step, as history does from epoch to epoch.

To go on one must know what was committed since; and when a row was removed that should not be.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

# Unlogged as the overlays themselves: a crash empties both, so none is taken for complete that
# is not. Tables of overlays that this list lacks are swept.
STEPS = """
DROP TABLE matengine.overlay;
CREATE UNLOGGED TABLE matengine.overlay (
  name text NOT NULL,                       -- of the table in the schema live
  step integer NOT NULL,                    -- rows with from_step <= step < to_step
  datastack text NOT NULL,
  table_name text NOT NULL,
  token text NOT NULL,                      -- the same as long as nothing of the table changes
  ground text NOT NULL,                     -- what it lies over, and from where edits are counted
  annotations timestamptz NOT NULL,         -- the moment that it was made for
  segmentation timestamptz NOT NULL,
  seen pg_snapshot NOT NULL,                -- which transactions it knows
  roots bigint[] NOT NULL,                  -- that ended since the ground, and before it nobody saw
  size bigint NOT NULL,                     -- ids that differ from the ground
  unresolved bigint NOT NULL,               -- rows with a root that is not known yet
  past bigint NOT NULL,                     -- rows of earlier steps alone
  made timestamptz NOT NULL DEFAULT now(),
  used timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (name, step));
CREATE INDEX ON matengine.overlay (datastack, table_name, token);
"""

# the transaction, by which one can tell what was committed since a snapshot
WRITTEN = """
ALTER TABLE matengine.change ADD COLUMN written xid8 NOT NULL DEFAULT pg_current_xact_id();
"""

REMOVED = """
-- when a row was removed; NULL where it was only moved, and where nobody noted it
ALTER TABLE matengine.strayed ADD COLUMN removed timestamptz;

DROP FUNCTION matengine.stray(text, bigint[]);
CREATE FUNCTION matengine.stray(target text, ids bigint[], gone timestamptz DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
  INSERT INTO matengine.strayed (table_name, first_id, last_id, removed)
  SELECT target, min(id), max(id), gone
  FROM (SELECT id, id - row_number() OVER (ORDER BY id) AS run FROM unnest(ids) AS u(id)) AS n
  GROUP BY run;
$$;

CREATE OR REPLACE FUNCTION matengine.note_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  gone timestamptz := clock_timestamp();
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(id), array_agg(gone)),
    matengine.stray(TG_TABLE_NAME, array_agg(id), gone)
  FROM old_rows HAVING count(*) > 0;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION matengine.note_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  smallest bigint;
  largest bigint;
  gone timestamptz := clock_timestamp();
BEGIN
  EXECUTE format('SELECT min(id), max(id) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)
    INTO smallest, largest;
  -- one run of all ids: the epoch that takes it up closes those that are not there any more
  INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
  SELECT name, TG_TABLE_NAME, 'delete', smallest, largest, gone
  FROM matengine.datastack WHERE smallest IS NOT NULL;
  INSERT INTO matengine.strayed (table_name, first_id, last_id, removed)
  SELECT TG_TABLE_NAME, smallest, largest, gone WHERE smallest IS NOT NULL;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    for part in (STEPS, WRITTEN, REMOVED):
        op.execute(part.replace(":", "\\:"))
