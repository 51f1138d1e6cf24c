"""Guards of history: triggers that refuse every write which touches a sealed epoch.

The rules are in the database (migration 0003), so they hold for every program that writes there.
"""

from psycopg import sql

from matengine.storage.connections import Connection


def install(conn: Connection, history: sql.Identifier, segmentation: str) -> None:
    """Put the guards on a history table, where they are missing."""
    name = history.as_string(conn)
    found = conn.execute(
        "SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = 'guard_insert'",
        (name,),
    ).fetchone()
    if found is None:
        conn.execute("SELECT matengine.guard(%s::regclass, %s)", (name, segmentation))
