"""How a datastack grows old: many versions, most of them dropped, collected, compacted.

`python -m bench.aging --rows 1000000 --versions 50` on a private server of its own.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray
from psycopg import sql

from matengine import settings
from matengine.box.postgres import PrivatePostgres
from matengine.engine import datastacks
from matengine.engine.annotations import bulk, tables
from matengine.engine.lookup import given
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, compact, dropping, epoch, garbage, layout, verify
from matengine.segmentation.chunkedgraph import local
from matengine.settings import Settings
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

NAME = "aging"
TABLE = "synapses"
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_PER_SUPERVOXEL = 4
SUPERVOXELS_PER_OBJECT = 50
ROOTS_ASKED = 100
FIRST_ID = 1 << 56


class Aging:
    """A datastack of random synapses, of which a share changes for each version."""

    def __init__(self, conn: Connection, rows: int, share: float) -> None:
        self.conn = conn
        self.dice = np.random.default_rng(1)
        count = rows // ROWS_PER_SUPERVOXEL
        self.supervoxels = FIRST_ID + np.arange(count, dtype=np.int64)
        self.objects = np.arange(count) // SUPERVOXELS_PER_OBJECT
        # both sides of a synapse may change, so half as many objects do
        self.splits = max(1, round(share / 2 * count / SUPERVOXELS_PER_OBJECT))
        local.create(conn, NAME, start=START)
        local.load_assignment(conn, NAME, self.supervoxels, self.objects + 1)
        datastacks.create(conn, NAME, datastacks.Segmentation(NAME))
        tables.create_table(
            conn, TABLE, "synapse", voxel_resolution_nm=(4, 4, 40), description="random"
        )
        conn.commit()
        self._load(rows)

    def _load(self, rows: int) -> None:
        ids = np.arange(1, rows + 1)
        columns: dict[str, NDArray[Any]] = {"id": ids, "size": self.dice.random(rows)}
        for point in ("pre_pt", "post_pt", "ctr_pt"):
            for axis in "xyz":
                columns[f"{point}_position_{axis}"] = self.dice.random(rows) * 1e5
        bulk.load(self.conn, TABLE, pa.table(columns))
        sides = {
            f"{point}_supervoxel_id": self.dice.choice(self.supervoxels, rows)
            for point in ("pre_pt", "post_pt")
        }
        given.give(self.conn, NAME, TABLE, pa.table({"id": ids, **sides}))
        self.conn.commit()

    def edit(self) -> None:
        """Split some objects in halves; all rows at either half change."""
        chosen = self.dice.choice(np.unique(self.objects), self.splits, replace=False)
        for number, which in enumerate(chosen):
            mine = np.flatnonzero(self.objects == which)
            self.objects[mine[: len(mine) // 2]] = self.objects.max() + 1 + number
        half = np.isin(self.objects, np.unique(self.objects)[-self.splits :])
        local.relabel(self.conn, NAME, self.supervoxels[half], self.objects[half] + 1)
        self.conn.commit()

    def version(self) -> None:
        run_id = epoch.start(self.conn, NAME, "complete", publish_version=True)
        done = engine.drive(conninfo_of(self.conn), run_id)
        assert done.status == "done", done.error

    def disk_mb(self) -> float:
        self.conn.commit()
        return round(compact.sizes(self.conn, NAME)[TABLE] / 1e6, 1)

    def query_ms(self, *versions: int) -> list[float]:
        """Median times of all rows of one root, of roots that all of these versions show."""
        history = layout.layout_of(self.conn, TABLE, NAME).history
        epochs = [catalogue.version(self.conn, NAME, v).epoch for v in versions]
        shown = sql.SQL(" AND ").join(layout.visible(f"{TABLE}__{NAME}", e) for e in epochs)
        roots = self.conn.execute(
            sql.SQL(
                "SELECT post_pt_root_id FROM {} WHERE {} ORDER BY hashint8(id) LIMIT %s"
            ).format(history, shown),
            (ROOTS_ASKED,),
        ).fetchall()
        times: dict[int, list[float]] = {version: [] for version in versions}
        # warm, and in turn, so that both meet what else the machine does
        for (root,) in roots * 3:
            of_root = (Filter(TABLE, "post_pt_root_id", Op.EQUAL, root),)
            for version in versions:
                asked = answer.plan(self.conn, NAME, version, Query(TABLE, filters=of_root))
                begun = time.perf_counter()
                self.conn.execute(asked.statement).fetchall()
                times[version].append(time.perf_counter() - begun)
        self.conn.commit()
        return [round(1000 * statistics.median(t[len(roots) :]), 3) for t in times.values()]

    def right(self, *versions: int) -> bool:
        return all(t.right for v in versions for t in verify.verify(self.conn, NAME, v))


def run(conn: Connection, rows: int, versions: int, share: float, kept: int) -> dict[str, Any]:
    """The figures; all but the newest `kept` versions are dropped."""
    facts: dict[str, Any] = {"rows": rows, "versions": versions}
    seconds: dict[str, float] = {}

    def timed(what: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        answer = work()
        seconds[what] = round(time.perf_counter() - begun, 2)
        return answer

    aging = Aging(conn, rows, share)
    timed("first version", aging.version)
    facts["MB of the first version"] = aging.disk_mb()
    for _ in range(versions - 1):
        aging.edit()
        timed("last version", aging.version)
    facts["MB of all versions"] = aging.disk_mb()
    facts["ms a root, oldest and newest version"] = aging.query_ms(1, versions)
    stay = range(versions - kept + 1, versions + 1)
    for number in range(1, stay[0]):
        dropping.drop(conn, NAME, number)
    told = timed("collect", lambda: garbage.collect(conn, NAME, live_horizon=timedelta()))
    facts["versions kept"] = len(stay)
    facts["row versions collected"] = sum(t.rows for t in told.tables)
    facts["MB collected"] = round(sum(t.bytes for t in told.tables) / 1e6, 1)
    facts["MB after collecting"] = aging.disk_mb()
    for _ in range(3):
        aging.edit()
        aging.version()
    facts["MB after three more versions"] = aging.disk_mb()
    facts["tables worth compacting"] = compact.worthwhile(conn, NAME)
    conn.commit()
    timed("compact", lambda: engine.drive(conninfo_of(conn), compact.start(conn, NAME)))
    facts["MB after compacting"] = aging.disk_mb()
    facts["ms a root, compacted"] = aging.query_ms(stay[0], versions + 3)
    facts["all kept versions verified"] = aging.right(*stay, versions + 3)
    return facts | {"seconds": seconds}


def main(
    rows: Annotated[int, typer.Option(help="Synapses.")] = 1_000_000,
    versions: Annotated[int, typer.Option(min=2, help="Versions made.")] = 50,
    share: Annotated[float, typer.Option(help="Part of the rows that change for each.")] = 0.005,
    kept: Annotated[int, typer.Option(min=2, help="Versions not dropped.")] = 20,
) -> None:
    """Make many versions, drop the oldest, collect, compact; say what disk and queries cost."""
    with tempfile.TemporaryDirectory(prefix="matengine-bench-") as place:
        Path(place).chmod(0o755)
        with PrivatePostgres(Path(place) / "postgres") as server:
            settings.use(Settings(server.url))
            connections.create_aligned_volume(NAME)
            with connections.connect(NAME) as conn:
                print(json.dumps(run(conn, rows, versions, share, kept), indent=2))


if __name__ == "__main__":
    typer.run(main)
