"""What two versions differ in, beside the full outer join of both: the same rows."""

from typing import Any

from psycopg import sql

from bench import synapses
from bench.figure import Figure
from bench.measure import cost
from bench.place import Place
from matengine.engine.query import diff
from matengine.engine.versions import catalogue, layout
from matengine.engine.versions.layout import Layout
from matengine.errors import Invalid
from matengine.storage import connections
from matengine.storage.connections import Connection

JOIN = """
SELECT coalesce(old.id, new.id) AS id
FROM (SELECT * FROM {history} AS h WHERE {first}) AS old
FULL JOIN (SELECT * FROM {history} AS h WHERE {second}) AS new USING (id)
WHERE old.id IS NULL OR new.id IS NULL
   OR ({old}) IS DISTINCT FROM ({new})
ORDER BY 1
"""


def run(place: Place) -> list[Figure]:
    """Make two versions 1 % apart and compare them both ways."""
    folder = synapses.made(place.cache, place.rows)
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:
            place.progress(0, 2, "two versions")
            synapses.bring(conn, folder)
            synapses.materialize(conn)
            synapses.proofread(conn, folder)
            synapses.materialize(conn)
            place.progress(1, 2, "comparing them")
            history = layout.layout_of(conn, synapses.TABLE, synapses.NAME)
            first, second = (catalogue.version(conn, synapses.NAME, v).epoch for v in (1, 2))
            asked = diff.compose(diff.between(conn, synapses.NAME, synapses.TABLE, 1, 2))
            ids, *by_change = measure(conn, server.pid, asked)
            others, *by_join = measure(conn, server.pid, joined(history, first, second))
    if ids != others:
        raise Invalid("The difference is not what the full outer join gives.")
    note = f"{len(ids):,} rows differ; the stand-in is the full outer join"
    return [
        Figure(f"difference of two versions: {what}", ours, join, unit, place.rows, note)
        for what, unit, ours, join in zip(
            ("CPU", "pages read"), ("s", "pages"), by_change, by_join, strict=True
        )
    ]


def joined(table: Layout, first: int, second: int) -> sql.Composed:
    """The ids that two epochs show differently, from all that they show."""

    def of(alias: str) -> sql.Composed:
        columns = table.supervoxels + table.roots
        return sql.SQL(", ").join(sql.Identifier(alias, column) for column in columns)

    return sql.SQL(JOIN).format(
        history=table.history,
        first=layout.visible("h", first),
        second=layout.visible("h", second),
        old=of("old"),
        new=of("new"),
    )


def measure(
    conn: Connection, postmaster: int, query: sql.Composed
) -> tuple[list[int], float, float]:
    """The ids that a query gives in its first column, its CPU seconds when warm, its pages."""
    conn.execute(query).fetchall()
    with cost("", conn, postmaster) as found:
        ids = [int(row[0]) for row in conn.execute(query).fetchall()]
    (plan,) = conn.execute(
        sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(query)
    ).fetchone() or ({},)
    conn.commit()
    root: dict[str, Any] = plan[0]["Plan"]
    return ids, found.cpu_server_s, root["Shared Hit Blocks"] + root["Shared Read Blocks"]
