"""Keeping close: how often epochs without a version are made, and runs that wait for their turn."""

from alembic import op

revision = "0014"
down_revision = "0013"

PACE = """
-- What was settled for a datastack; NULL is what the deployment says.
CREATE TABLE matengine.pace (
  datastack text PRIMARY KEY REFERENCES matengine.datastack ON DELETE CASCADE,
  active boolean,
  least interval,                           -- between two epochs
  most interval,
  target double precision,                  -- rows that may differ, as a part of all
  keep interval,                            -- how long such an epoch is kept
  looked timestamptz,                       -- when rows with ended roots were last counted
  roots bigint NOT NULL DEFAULT 0,          -- roots that had ended since the newest epoch then
  rows bigint NOT NULL DEFAULT 0,           -- and rows that had one of them
  trouble text);                            -- why the last try to begin an epoch came to nothing

-- behind an epoch that nobody asked for, one run waits for its turn
CREATE UNIQUE INDEX run_one_turn ON matengine.run (datastack)
  WHERE status = 'running' AND phase = 'turn';

-- runs that make epochs are few among those that look up new annotations
CREATE INDEX run_epochs ON matengine.run (datastack, run_id)
  WHERE epoch IS NOT NULL OR phase = 'turn';

-- epochs that were collected are many more in the end
CREATE INDEX epoch_kept ON matengine.epoch (datastack, time)
  WHERE sealed IS NOT NULL AND collected IS NULL;
"""


def upgrade() -> None:
    op.execute(PACE)
