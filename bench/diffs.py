"""What two versions differ in, against the full outer join of both: the same rows, what it costs.

`python -m bench.diffs --rows 1000000` on a private server of its own; the second version has other
roots in 1 % of its rows. `--plans` also prints the plan of the difference.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg import sql

from bench import epochs
from bench.measure import cost
from matengine import settings
from matengine.box.postgres import PrivatePostgres
from matengine.engine.query import diff
from matengine.engine.versions import catalogue, layout
from matengine.engine.versions.layout import Layout
from matengine.settings import Settings
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
) -> tuple[list[int], dict[str, Any]]:
    """The ids that a query gives in its first column, and what it costs when warm."""
    conn.execute(query).fetchall()
    with cost("", conn, postmaster) as found:
        ids = [int(row[0]) for row in conn.execute(query).fetchall()]
    (plan,) = conn.execute(
        sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(query)
    ).fetchone() or ({},)
    conn.commit()
    root = plan[0]["Plan"]
    return ids, {
        "rows": len(ids),
        "CPU s": round(found.cpu_server_s, 2),
        "pages": root["Shared Hit Blocks"] + root["Shared Read Blocks"],
    }


def main(
    rows: Annotated[int, typer.Option(help="Synapses.")] = 1_000_000,
    data: Annotated[
        Path | None, typer.Option(help="A folder of synthetic synapses; made where not given.")
    ] = None,
    plans: Annotated[bool, typer.Option(help="Print the plan of the difference.")] = False,
) -> None:
    """Make two versions 1 % apart and compare them both ways."""
    folder = data or epochs.data(Path(".cache") / "bench", rows)
    with tempfile.TemporaryDirectory(prefix="matengine-bench-") as place:
        Path(place).chmod(0o755)
        with PrivatePostgres(Path(place) / "postgres") as server:
            settings.use(Settings(server.url))
            assert server.process is not None
            postmaster = server.process.pid
            epochs.run(epochs.Server(server.url, postmaster), folder)
            with connections.connect(epochs.NAME) as conn:
                table = layout.layout_of(conn, epochs.TABLE, epochs.NAME)
                first, second = (catalogue.version(conn, epochs.NAME, v).epoch for v in (1, 2))
                asked = diff.compose(diff.between(conn, epochs.NAME, epochs.TABLE, 1, 2))
                ids, by_change = measure(conn, postmaster, asked)
                others, by_join = measure(conn, postmaster, joined(table, first, second))
                facts = {"difference": by_change, "full outer join": by_join}
                print(json.dumps(facts | {"the same rows": ids == others}, indent=2))
                if plans:
                    lines = conn.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS) {}").format(asked))
                    print("\n".join(line for (line,) in lines))


if __name__ == "__main__":
    typer.run(main)
