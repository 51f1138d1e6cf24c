"""An aligned volume emptied, so that a scenario costs later ones nothing."""

from matengine.storage.connections import Connection


def clear(conn: Connection) -> None:
    """Take away all datastacks and annotation tables, with all that is theirs. Commits."""
    conn.rollback()
    conn.execute(_ALL)
    conn.commit()


_ALL = """
DO $$
DECLARE
  statement text;
BEGIN
  FOR statement IN
    SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
    WHERE nspname ~ '^graph_' OR nspname ~ '__mat[0-9]+$'
    UNION ALL SELECT format('DROP TABLE %I.%I CASCADE', schemaname, tablename) FROM pg_tables
    WHERE schemaname IN ('history', 'staging', 'live')
      OR schemaname = 'public' AND tablename IN (
        SELECT table_name FROM public.annotation_table_metadata)
  LOOP
    EXECUTE statement;
  END LOOP;
END $$;
DELETE FROM matengine.datastack;
DELETE FROM matengine.segmentation;
DELETE FROM matengine.run;
DELETE FROM matengine.overlay;
DELETE FROM public.annotation_table_metadata;
"""
