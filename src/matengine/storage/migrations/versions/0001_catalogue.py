"""The catalogue: datastacks, changes, epochs, versions, runs."""

from alembic import op

revision = "0001"
down_revision = None

CATALOGUE = """
CREATE SCHEMA history;
CREATE SCHEMA staging;

-- ── what exists ─────────────────────────────────────────────────────────────
CREATE TABLE matengine.segmentation (
  name text PRIMARY KEY,
  volume text,                              -- precomputed volume of supervoxels
  resolution_nm double precision[3],        -- of one voxel of that volume
  chunk_size integer[3],
  graph text NOT NULL DEFAULT 'local',      -- 'local', or the URL of a PyChunkedGraph server
  created timestamptz NOT NULL DEFAULT now());

CREATE TABLE matengine.datastack (
  name text PRIMARY KEY,
  description text NOT NULL DEFAULT '',
  -- epochs belong to a segmentation, so it has one datastack
  segmentation text NOT NULL UNIQUE REFERENCES matengine.segmentation,
  gap_policy text NOT NULL DEFAULT 'publish-with-gaps'
    CHECK (gap_policy IN ('publish-with-gaps', 'refuse')),
  created timestamptz NOT NULL DEFAULT now());

-- the annotation service's own metadata table, column for column
CREATE TYPE permission AS ENUM ('PRIVATE', 'GROUP', 'PUBLIC');
CREATE TABLE public.annotation_table_metadata (
  id serial PRIMARY KEY,
  schema_type varchar(100) NOT NULL,
  table_name varchar(100) NOT NULL UNIQUE,
  valid boolean,
  created timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted timestamptz,
  user_id varchar(255) NOT NULL,
  description text NOT NULL,
  notice_text text,
  reference_table varchar(100),
  flat_segmentation_source varchar(300),
  voxel_resolution_x double precision NOT NULL,
  voxel_resolution_y double precision NOT NULL,
  voxel_resolution_z double precision NOT NULL,
  write_permission permission NOT NULL DEFAULT 'PRIVATE',
  read_permission permission NOT NULL DEFAULT 'PUBLIC',
  last_modified timestamptz NOT NULL DEFAULT clock_timestamp());

-- ── what changed since the last epoch ───────────────────────────────────────
-- Written by triggers on the annotation tables in the transaction of the change, one queue a
-- datastack, so that no change is missed and none is looked for. Ids come as runs.
CREATE TABLE matengine.change (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  table_name text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('insert', 'delete')),
  first_id bigint NOT NULL,
  last_id bigint NOT NULL,
  due timestamptz NOT NULL,                 -- the earliest `created` or `deleted` of the run
  epoch integer);                           -- the open epoch that takes it up
CREATE INDEX ON matengine.change (datastack, due);

-- ── epochs and versions ─────────────────────────────────────────────────────
CREATE TABLE matengine.epoch (
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  epoch integer NOT NULL,
  time timestamptz NOT NULL,
  sealed timestamptz,                       -- NULL while it is being made
  PRIMARY KEY (datastack, epoch),
  UNIQUE (datastack, time));

CREATE TABLE matengine.epoch_table (
  datastack text NOT NULL,
  epoch integer NOT NULL,
  table_name text NOT NULL,
  schema_type text NOT NULL,
  row_count bigint NOT NULL,
  fingerprint numeric NOT NULL,             -- sum of row hashes modulo 2^64
  gaps bigint NOT NULL,                     -- rows with a supervoxel or root not known
  rows_added bigint NOT NULL,               -- row versions written by this epoch
  rows_closed bigint NOT NULL,
  PRIMARY KEY (datastack, epoch, table_name),
  FOREIGN KEY (datastack, epoch) REFERENCES matengine.epoch ON DELETE CASCADE);

CREATE TABLE matengine.version (
  datastack text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  status text NOT NULL CHECK (status IN ('RUNNING', 'AVAILABLE', 'FAILED', 'EXPIRED')),
  created timestamptz NOT NULL DEFAULT now(),
  expires_on timestamptz,
  pinned boolean NOT NULL DEFAULT false,
  note text NOT NULL DEFAULT '',
  PRIMARY KEY (datastack, version),
  FOREIGN KEY (datastack) REFERENCES matengine.datastack ON DELETE CASCADE);

-- ── work ────────────────────────────────────────────────────────────────────
CREATE TABLE matengine.run (
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  workflow text NOT NULL,
  epoch integer,                            -- the epoch it makes, where it makes one
  version integer,                          -- the version it publishes, where it does
  time timestamptz,                         -- the epoch's time
  previous timestamptz,                     -- the time of the epoch before
  phase text NOT NULL,
  status text NOT NULL DEFAULT 'running'
    CHECK (status IN ('running', 'done', 'failed', 'cancelled')),
  error text,
  parameters jsonb NOT NULL DEFAULT '{}',
  started timestamptz NOT NULL DEFAULT now(),
  beat timestamptz NOT NULL DEFAULT now(),  -- the last time that something moved
  finished timestamptz);
-- one epoch at a time
CREATE UNIQUE INDEX run_one_at_a_time ON matengine.run (datastack)
  WHERE status = 'running' AND epoch IS NOT NULL;

CREATE TABLE matengine.unit (
  unit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES matengine.run ON DELETE CASCADE,
  kind text NOT NULL,
  table_name text NOT NULL,
  first_id bigint,                          -- a range of ids, or of roots where it applies rows;
  last_id bigint,                           -- NULL is open
  state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'working', 'done', 'failed')),
  attempts integer NOT NULL DEFAULT 0,
  lease_until timestamptz,                  -- nobody else takes it before
  sent timestamptz,                         -- when its message last went out
  worker text,
  error text,
  rows_added bigint NOT NULL DEFAULT 0,
  rows_closed bigint NOT NULL DEFAULT 0,
  count_change bigint NOT NULL DEFAULT 0,
  hash_change numeric NOT NULL DEFAULT 0,
  gap_change bigint NOT NULL DEFAULT 0,
  finished timestamptz);
CREATE INDEX ON matengine.unit (run_id, state);

-- the roots that expired since the last epoch, found once a run
CREATE TABLE matengine.expired_root (
  run_id bigint NOT NULL REFERENCES matengine.run ON DELETE CASCADE,
  root_id bigint NOT NULL,
  PRIMARY KEY (run_id, root_id));

CREATE TABLE matengine.lookup_failure (
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  table_name text NOT NULL,
  id bigint NOT NULL,
  point text NOT NULL,
  reason text NOT NULL,
  permanent boolean NOT NULL DEFAULT false,
  attempts integer NOT NULL DEFAULT 1,
  as_of timestamptz NOT NULL,
  PRIMARY KEY (datastack, table_name, id, point));
"""

# One queue row for each run of consecutive ids, so that a load of a million rows is one row.
TRIGGERS = """
CREATE FUNCTION matengine.note_writer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Shared: writers never wait for each other. An epoch lists the holders and waits for them.
  PERFORM pg_advisory_xact_lock_shared(1835103329, 0);
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.enqueue(target text, what text, ids bigint[], dues timestamptz[])
RETURNS void LANGUAGE sql AS $$
  INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
  SELECT d.name, target, what, r.first_id, r.last_id, r.due
  FROM (SELECT min(id) AS first_id, max(id) AS last_id, min(due) AS due
        FROM (SELECT id, due, id - row_number() OVER (ORDER BY id) AS run
              FROM unnest(ids, dues) AS u(id, due)) AS numbered
        GROUP BY run) AS r
  CROSS JOIN matengine.datastack AS d;
$$;

CREATE FUNCTION matengine.note_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'insert', array_agg(id), array_agg(created))
  FROM new_rows HAVING count(*) > 0;
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(id), array_agg(deleted))
  FROM new_rows WHERE deleted IS NOT NULL HAVING count(*) > 0;
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.note_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(n.id), array_agg(n.deleted))
  FROM new_rows AS n JOIN old_rows AS o USING (id)
  WHERE n.deleted IS NOT NULL AND n.deleted IS DISTINCT FROM o.deleted HAVING count(*) > 0;
  RETURN NULL;
END $$;

CREATE FUNCTION matengine.note_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matengine.enqueue(TG_TABLE_NAME, 'delete', array_agg(id), array_agg(clock_timestamp()))
  FROM old_rows HAVING count(*) > 0;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(CATALOGUE.replace(":", "\\:"))
    op.execute(TRIGGERS.replace(":", "\\:"))
