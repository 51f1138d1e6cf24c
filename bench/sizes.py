"""What a row takes on disk, and what building, freezing and checking it costs."""

from psycopg import sql

from bench import synapses
from bench.figure import Figure
from bench.measure import Cost, cost
from bench.place import Place, Server
from matengine.engine.versions import verify
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of, open_connection

TABLES = {"public": "annotations", "history": "history"}
STEPS = 4


def run(place: Place) -> list[Figure]:
    """Figures a row of a table of synapses: three points, two of them bound."""
    folder = synapses.made(place.cache, place.rows)
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:
            place.progress(0, STEPS, "load")
            synapses.bring(conn, folder)
            place.progress(1, STEPS, "first version")
            synapses.materialize(conn)
            place.progress(2, STEPS, "indexes")
            figures = _disk(conn, place.rows) + _builds(conn, server, place.rows)
            place.progress(3, STEPS, "freeze and verify")
            return figures + _upkeep(conn, server, place.rows)


def _disk(conn: Connection, rows: int) -> list[Figure]:
    found = conn.execute(
        "SELECT schemaname, relname, 'rows', pg_relation_size(relid) FROM pg_stat_user_tables"
        " WHERE schemaname IN ('public', 'history') AND starts_with(relname, %s)"
        " UNION ALL SELECT schemaname, relname, indexrelname, pg_relation_size(indexrelid)"
        " FROM pg_stat_user_indexes"
        " WHERE schemaname IN ('public', 'history') AND starts_with(relname, %s) ORDER BY 1, 3, 4",
        (synapses.TABLE,) * 2,
    ).fetchall()
    conn.commit()
    return [
        Figure(f"disk: {TABLES[schema]}, {what}", size / rows, None, "bytes a row", rows)
        for schema, _, what, size in found
        if size > rows
    ]


def _builds(conn: Connection, server: Server, rows: int) -> list[Figure]:
    """One index of each kind, built anew."""
    found = conn.execute(
        "SELECT DISTINCT ON (m.amname) m.amname, s.indexrelname, s.schemaname"
        " FROM pg_stat_user_indexes s JOIN pg_class i ON i.oid = s.indexrelid"
        " JOIN pg_am m ON m.oid = i.relam WHERE s.schemaname IN ('public', 'history')"
        " AND starts_with(s.relname, %s) ORDER BY 1, 3, 2 DESC",
        (synapses.TABLE,),
    ).fetchall()
    return [
        _figure(f"build: {kind}", _done(conn, server, sql.SQL("REINDEX INDEX {}").format(
            sql.Identifier(schema, name))), rows)
        for kind, name, schema in found
    ]  # fmt: skip


def _upkeep(conn: Connection, server: Server, rows: int) -> list[Figure]:
    frozen = _done(
        conn,
        server,
        sql.SQL("VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) {}").format(
            sql.Identifier("history", f"{synapses.TABLE}__{synapses.NAME}")
        ),
    )
    conn.commit()
    with cost("", conn, server.pid) as verified:
        verify.verify(conn, synapses.NAME, 1)
    return [_figure("freeze the history", frozen, rows), _figure("verify", verified, rows)]


def _done(conn: Connection, server: Server, statement: sql.Composed) -> Cost:
    with (
        open_connection(conninfo_of(conn), autocommit=True) as own,
        cost("", own, server.pid) as found,
    ):
        own.execute(statement)
    return found


def _figure(name: str, found: Cost, rows: int) -> Figure:
    note = f"{found.wal_bytes / 1e6:,.0f} MB of WAL" if found.wal_bytes > 1e6 else ""
    return Figure(f"{name}: CPU", 1e6 * found.cpu_s / rows, None, "µs a row", rows, note)
