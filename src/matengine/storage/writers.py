"""Who is writing: transactions that change annotations or the embedded chunkedgraph.

Each of them holds one shared advisory lock from before it reads the clock until its end. Writers
never wait for each other. An epoch that has picked its time lists the holders and waits for these
to end: every later writer reads a later clock, so nothing of that time is still to come.
"""

from matengine.storage.connections import Connection

LOCK = (1835103329, 0)  # also in the trigger function matengine.note_writer

_LISTED = """
SELECT DISTINCT pid, virtualtransaction FROM pg_locks
WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted
  AND classid::bigint = %s AND objid::bigint = %s AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def enter(conn: Connection) -> None:
    """Make this transaction a writer; call it before reading the clock."""
    conn.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", LOCK)


def keep_out(conn: Connection) -> None:
    """Wait for all writers to end and keep new ones out until this transaction ends."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", LOCK)


def listed(conn: Connection) -> list[str]:
    """The writers that have not ended, other than this connection."""
    return sorted(f"{pid}:{transaction}" for pid, transaction in conn.execute(_LISTED, LOCK))
