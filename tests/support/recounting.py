"""Row count, fingerprint and gaps of a version, recomputed from its rows in one statement."""

from psycopg import sql

from matengine.engine.versions import fingerprint
from matengine.engine.versions.layout import Layout, visible
from matengine.storage.connections import Connection


def recount(conn: Connection, layout: Layout, epoch: int) -> tuple[int, int, int]:
    """What the catalogue should say of a table at an epoch: rows, fingerprint, gaps."""
    row = conn.execute(
        sql.SQL(
            "SELECT count(*), coalesce(sum({hash}::numeric), 0), coalesce(sum({gap}), 0)"
            " FROM {history} AS h WHERE {visible}"
        ).format(
            hash=fingerprint.row_hash(layout, "h"),
            gap=fingerprint.gap(layout, "h"),
            history=layout.history,
            visible=visible("h", epoch),
        )
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]) % fingerprint.MODULUS, int(row[2])
