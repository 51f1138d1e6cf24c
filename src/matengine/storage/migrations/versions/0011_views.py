"""Views: questions with a name, asked at any moment."""

from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = """
CREATE TABLE matengine.view (
  view_id bigint GENERATED ALWAYS AS IDENTITY,
  datastack text NOT NULL REFERENCES matengine.datastack ON DELETE CASCADE,
  name text NOT NULL,
  description text NOT NULL,
  notice_text text,
  user_id text NOT NULL,                    -- the owner
  definition jsonb NOT NULL,
  created timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (datastack, name));
"""


def upgrade() -> None:
    op.execute(TABLES)
