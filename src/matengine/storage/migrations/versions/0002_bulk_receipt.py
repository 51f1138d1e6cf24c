"""Receipts of bulk loads."""

from alembic import op

revision = "0002"
down_revision = "0001"

RECEIPTS = """
CREATE TABLE matengine.bulk_receipt (
  name text PRIMARY KEY,
  table_name text NOT NULL,
  fingerprint text NOT NULL,                -- of the source and how it is read
  rows_done bigint NOT NULL DEFAULT 0,      -- committed with the rows themselves
  indexes text[] NOT NULL,                  -- statements of indexes to be made after the rows
  started timestamptz NOT NULL DEFAULT clock_timestamp(),
  moved timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished timestamptz);
"""


def upgrade() -> None:
    op.execute(RECEIPTS)
