"""The queue of changes: what epochs have yet to take up.

Triggers write it in the transaction of the change itself, so no program that writes to an
annotation table can forget to, and an epoch finds what came or went without looking at the rest.
"""

from psycopg import sql

from matengine.storage.connections import Connection

_TRIGGERS = sql.SQL("""
CREATE OR REPLACE TRIGGER matengine_writer BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE
  ON public.{table} FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_writer();
CREATE OR REPLACE TRIGGER matengine_truncate BEFORE TRUNCATE ON public.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_truncate();
CREATE OR REPLACE TRIGGER matengine_insert AFTER INSERT ON public.{table}
  REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_insert();
CREATE OR REPLACE TRIGGER matengine_update AFTER UPDATE ON public.{table}
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_update();
CREATE OR REPLACE TRIGGER matengine_delete AFTER DELETE ON public.{table}
  REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION matengine.note_delete();
""")

# one run from the first id to the last: the epoch that takes it up leaves out what is not there
_ENQUEUE_ALL = sql.SQL("""
INSERT INTO matengine.change (datastack, table_name, kind, first_id, last_id, due)
SELECT {datastack}, {name}, 'insert', min(id), max(id), min(created)
FROM public.{table} HAVING count(*) > 0
UNION ALL
SELECT {datastack}, {name}, 'delete', min(id), max(id), min(deleted)
FROM public.{table} WHERE deleted IS NOT NULL HAVING count(*) > 0
""")


def watch(conn: Connection, table: str) -> None:
    """Record every insert and delete of an annotation table from now on. Idempotent."""
    conn.execute(_TRIGGERS.format(table=sql.Identifier(table)))


def enqueue_all(conn: Connection, table: str, datastack: str) -> None:
    """Queue every row of a table for one datastack, as when the datastack is new."""
    conn.execute(
        _ENQUEUE_ALL.format(
            table=sql.Identifier(table), name=sql.Literal(table), datastack=sql.Literal(datastack)
        )
    )
