"""Embedded chunkedgraphs: the table of packed edges, empty for graphs that were loaded before."""

from alembic import op

revision = "0016"
down_revision = "0015"

TABLES = """
DO $do$
DECLARE
  graph text;
BEGIN
  FOR graph IN SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'graph_') LOOP
    EXECUTE format($sql$
      CREATE TABLE %1$I.packed_edges (
        first_fragment bigint PRIMARY KEY, edges bytea NOT NULL);
      ALTER TABLE %1$I.packed_edges ALTER edges SET STORAGE EXTERNAL
      $sql$, graph);
  END LOOP;
END $do$;
"""


def upgrade() -> None:
    op.execute(TABLES.replace(":", "\\:"))
