"""What PostgreSQL's planner is told before statements that may cost what changed, and no more."""

from matengine.storage.connections import Connection


def use_indexes(conn: Connection) -> None:
    """Forbid, until the transaction ends, scans and joins that read the whole of a table.

    On statistics that are older than the last load the planner would choose them.
    """
    conn.execute(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;"
        " SET LOCAL enable_mergejoin = off"
    )
