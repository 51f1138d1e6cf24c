"""The last edit up to a time, within a statement about other things."""

from psycopg import sql

from matengine.segmentation.chunkedgraph.local.store import Connection, Store


def latest_edit(conn: Connection, name: str, until: sql.Composable) -> sql.Composed:
    """An expression: ms of a graph's last operation up to a time in ms; NULL where there was none.

    Edits are made one after the other, each at a later time than all before. So while this is the
    same, so are the roots at the time.
    """
    return sql.SQL("({})").format(
        Store(conn, name).compose("SELECT max(at_ms) FROM {g}.operation WHERE at_ms <= ") + until
    )
