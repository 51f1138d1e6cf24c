"""How a datastack grows old: many versions, most of them dropped, collected, compacted."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from bench.figure import Figure
from bench.place import Place
from matengine.engine import datastacks
from matengine.engine.annotations import bulk, tables
from matengine.engine.lookup import given
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, compact, dropping, epoch, garbage, layout, verify
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

NAME = "aging"
TABLE = "synapses"
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_PER_SUPERVOXEL = 4
SUPERVOXELS_PER_OBJECT = 50
ROOTS_ASKED = 100
FIRST_ID = 1 << 56
VERSIONS = 50
SHARE = 0.005  # of the rows change for each version
KEPT = 20


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


def run(place: Place) -> list[Figure]:
    """Make many versions, drop all but the newest, collect, compact."""
    found: list[Figure] = []

    def tell(name: str, value: float, unit: str, note: str = "") -> None:
        found.append(Figure(name, value, None, unit, place.rows, note))

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        answer = work()
        tell(name, time.perf_counter() - begun, "s", "wall")
        return answer

    def asked(aging: Aging, when: str, *versions: int) -> None:
        for which, ms in zip(("oldest", "newest"), aging.query_ms(*versions), strict=True):
            tell(f"one root of the {which} version, {when}", ms, "ms", "wall, median")

    with place.server():
        connections.create_aligned_volume(NAME)
        with connections.connect(NAME) as conn:
            aging = Aging(conn, place.rows, SHARE)
            timed("first version", aging.version)
            tell("disk of the first version", aging.disk_mb(), "MB")
            for number in range(2, VERSIONS):
                place.progress(number, VERSIONS, "versions")
                aging.edit()
                aging.version()
            aging.edit()
            timed(f"version {VERSIONS}", aging.version)
            tell(f"disk of {VERSIONS} versions", aging.disk_mb(), "MB")
            asked(aging, "all kept", 1, VERSIONS)
            stay = range(VERSIONS - KEPT + 1, VERSIONS + 1)
            for number in range(1, stay[0]):
                dropping.drop(conn, NAME, number)
            told = timed("collect", lambda: garbage.collect(conn, NAME, live_horizon=timedelta()))
            tell("row versions collected", sum(t.rows for t in told.tables), "rows")
            tell("disk collected", sum(t.bytes for t in told.tables) / 1e6, "MB")
            tell("disk after collecting", aging.disk_mb(), "MB")
            for _ in range(3):
                aging.edit()
                aging.version()
            tell("disk after three more versions", aging.disk_mb(), "MB")
            worth = compact.worthwhile(conn, NAME)
            tell("tables worth compacting", len(worth), "tables")
            conn.commit()
            timed("compact", lambda: engine.drive(conninfo_of(conn), compact.start(conn, NAME)))
            tell("disk after compacting", aging.disk_mb(), "MB", f"{KEPT + 3} versions")
            asked(aging, "compacted", stay[0], VERSIONS + 3)
            if not aging.right(*stay, VERSIONS + 3):
                raise Invalid("A kept version is not as it was published.")
    return found
