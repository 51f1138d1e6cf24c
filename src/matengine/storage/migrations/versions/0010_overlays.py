"""Overlays: what tables are at moments between epochs, kept for a while."""

from alembic import op

revision = "0010"
down_revision = "0009"

# Unlogged as the overlays themselves: a crash empties both, so none is taken for complete that
# is not.
TABLES = """
CREATE SCHEMA live;
CREATE UNLOGGED TABLE matengine.overlay (
  name text PRIMARY KEY,                    -- of the table in the schema live
  datastack text NOT NULL,
  table_name text NOT NULL,
  token text NOT NULL,                      -- the same as long as nothing of the table changes
  size bigint NOT NULL,                     -- ids that differ from the epoch below
  unresolved bigint NOT NULL,               -- rows with a root that is not known yet
  made timestamptz NOT NULL DEFAULT now(),
  used timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON matengine.overlay (datastack, table_name, token);
"""


def upgrade() -> None:
    op.execute(TABLES)
