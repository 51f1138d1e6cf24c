"""Live queries: one root now, beside the same from a version, with changes that no epoch has."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq

from bench import synapses
from bench.changes import Changes
from bench.clients import Answer, crowd
from bench.figure import Figure
from bench.place import Place, Server
from bench.serving import serving
from bench.tree import Tree
from matengine.engine.query import answer
from matengine.engine.query.live import overlay
from matengine.engine.query.model import At, Filter, Op, Query
from matengine.storage import connections
from matengine.storage.connections import Connection
from matengine.times import now

ROOT = "post_pt_root_id"
WANTED = 1_000  # rows of the root that is asked for
REPEATS = 200
SHARES = {"0.1 %": 0.001, "1 %": 0.01}
API = f"/materialize/api/v3/datastack/{synapses.NAME}"
ARROW = "?return_pyarrow=true&arrow_format=true"


def run(place: Place) -> list[Figure]:
    """Before there is an epoch; then a version, and changes after it of which no epoch knows."""
    folder = synapses.made(place.cache, place.rows)
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:
            place.progress(0, 3, "load")
            table = synapses.bring(conn, folder)
            edits = pq.read_table(folder / "edit_supervoxels.parquet", filters=[("edit", "=", 0)])
            changes = Changes(conn, table, edits)
            place.progress(1, 3, "before any epoch")
            found = _before_any_epoch(conn, server, changes)
            place.progress(2, 3, "version")
            synapses.materialize(conn)
            conn.autocommit = True
            conn.execute("VACUUM ANALYZE")
            conn.autocommit = False
            changes.rows = 0
            return found + measure(server, conn, changes)


def _before_any_epoch(conn: Connection, server: Server, changes: Changes) -> list[Figure]:
    asked = Asked(conn, server, Tree([]), ("", 0), changes.synapses.num_rows, "all", 1)
    found = asked.making(changes)
    overlay.sweep(conn, timedelta(0))
    conn.commit()
    return found


def measure(server: Server, conn: Connection, changes: Changes) -> list[Figure]:
    """The figures of a server whose database has one version."""
    found: list[Figure] = []
    rows = changes.synapses.num_rows
    root = _root(conn, changes)
    with serving() as (address, web):
        for name, share in SHARES.items():
            changes.until(round(share * rows))
            served = Tree([web, server.pid])
            asked = Asked(conn, server, served, address, rows, name, root)
            found += asked.making(changes)
            found += asked.ratios()
    return found


class Asked:
    """One root asked for, live and frozen, with some share of the rows changed."""

    def __init__(
        self,
        conn: Connection,
        server: Server,
        served: Tree,
        address: tuple[str, int],
        rows: int,
        pending: str,
        root: int,
    ) -> None:
        self.conn = conn
        self.postgres = Tree([server.pid])
        self.served = served
        self.address = address
        self.rows = rows
        self.pending = pending
        self.root = root
        self.query = Query(
            synapses.TABLE, filters=(Filter(synapses.TABLE, ROOT, Op.EQUAL, self.root),)
        )

    def making(self, changes: Changes) -> list[Figure]:
        """What queries cost that find something new."""
        return [
            self._figure("first live query", 1, self._live),
            self._figure("live query after one row more", 10, self._live, changes.insert),
            self._figure("live query after one edit more", 5, self._live, changes.edit),
        ]

    def ratios(self) -> list[Figure]:
        """Live queries beside frozen ones, in turn, by the engine and over HTTP."""
        found = []
        still = now()
        self._live(still)
        for what, live in (
            ("at one moment", lambda: self._live(still)),
            ("at a new moment each", self._live),
        ):
            ours, stand_in = self._in_turn(self.postgres, live, self._frozen)
            found.append(self._told(f"engine, {what}", ours, stand_in))
        ours, stand_in = self._in_turn(self.served, self._live_served, self._frozen_served)
        found.append(self._told("HTTP, at a new moment each", ours, stand_in))
        return found

    def _live(self, at: At | None = None) -> int:
        return self._ask(at or now())

    def _frozen(self) -> int:
        return self._ask(1)

    def _ask(self, at: At) -> int:
        found = answer.ask(self.conn, synapses.NAME, at, self.query).num_rows
        self.conn.commit()
        return found

    def _live_served(self) -> int:
        body = {"table": synapses.TABLE, "timestamp": now().isoformat()}
        return self._post(f"{API}/query{ARROW}", body)

    def _frozen_served(self) -> int:
        return self._post(f"{API}/version/1/table/{synapses.TABLE}/query{ARROW}", {})

    def _post(self, path: str, body: dict[str, object]) -> int:
        asked = {"filter_in_dict": {synapses.TABLE: {ROOT: [self.root]}}} | body
        answers: list[Answer] = asyncio.run(
            crowd(self.address, path, json.dumps(asked).encode(), 1, 1)
        )
        assert answers[0].good
        return answers[0].size

    def _in_turn(
        self, tree: Tree, ours: Callable[[], int], stand_in: Callable[[], int]
    ) -> tuple[float, float]:
        """CPU ms of each, in turns of ten after some to warm up."""
        spent = [0.0, 0.0]
        for turn in range(REPEATS // 10 + 2):
            for which, ask in enumerate((ours, stand_in)):
                before = self._cpu_s(tree)
                for _ in range(10):
                    ask()
                if turn > 1:
                    spent[which] += self._cpu_s(tree) - before
        return 1000 * spent[0] / REPEATS, 1000 * spent[1] / REPEATS

    def _figure(
        self,
        name: str,
        repeats: int,
        ask: Callable[[], int],
        before: Callable[[], object] = lambda: None,
    ) -> Figure:
        spent = 0.0
        for _ in range(repeats):
            before()
            start = self._cpu_s(self.postgres)
            ask()
            spent += self._cpu_s(self.postgres) - start
        return self._told(name, 1000 * spent / repeats, None)

    def _cpu_s(self, tree: Tree) -> float:
        """Of a tree; of this process too, where that is not only a client of the tree."""
        return tree.cpu_s() + (0 if tree is self.served else time.process_time())

    def _told(self, name: str, ours: float, stand_in: float | None) -> Figure:
        note = "" if stand_in is None else f"stand-in: version 1; {self._ask(now())} rows"
        return Figure(f"{name}, {self.pending} pending: CPU", ours, stand_in, "ms", self.rows, note)


def _root(conn: Connection, changes: Changes) -> int:
    """The root whose number of rows is nearest to the one wanted, and that no edit ends."""
    counted = conn.execute(
        f"SELECT {ROOT}, count(*) FROM {synapses.NAME}__mat1.{synapses.TABLE}"  # noqa: S608
        f" WHERE {ROOT} <> 0 GROUP BY 1"
    ).fetchall()
    roots, sizes = np.array(counted, np.int64).T
    stay = ~np.isin(roots, synapses.ids(changes.edits, "old_root_id"))
    return int(roots[stay][np.argmin(abs(sizes[stay] - WANTED))])
