"""What viewers are told of a datastack: tables of synapses and somata, sources of images."""

from alembic import op

revision = "0009"
down_revision = "0008"

SQL = """
ALTER TABLE matengine.datastack ADD COLUMN info jsonb NOT NULL DEFAULT '{}';

-- as an import settles it: the first table of the schema
UPDATE matengine.datastack SET info = jsonb_strip_nulls(jsonb_build_object(
  'synapse_table', (SELECT table_name FROM public.annotation_table_metadata
    WHERE schema_type = 'synapse' AND deleted IS NULL ORDER BY id LIMIT 1),
  'soma_table', (SELECT table_name FROM public.annotation_table_metadata
    WHERE schema_type = 'nucleus_detection' AND deleted IS NULL ORDER BY id LIMIT 1)));
"""


def upgrade() -> None:
    op.execute(SQL.replace(":", "\\:"))
