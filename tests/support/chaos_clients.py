"""Who uses the engine while its processes die: `python chaos_clients.py write|read FOLDER NUMBER`.

A writer tells its ledger what it is about to do before it does it, and what became of it after. A
reader compares what kept versions answer with what they answered when they were published. Both
go on whatever happens to the connection, and end at anything else.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import adbc_driver_manager
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from chaos_world import DATASTACK, POINTS, SIZE, TABLE, VOLUME, digest, first_edges, neighbours

from matengine.engine import proofreading
from matengine.engine.annotations import rows
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.errors import MatengineError, Unavailable
from matengine.storage.connections import Connection, database_url, open_connection

# what a client sees when a server dies; the last two from Arrow's driver in the midst of an answer
LOST = (psycopg.OperationalError, psycopg.InterfaceError, Unavailable,
        adbc_driver_manager.Error, pa.ArrowException, OSError)  # fmt: skip
# the sizes of a writer's rows begin here times its number, so that no two rows have the same
TAGS = 10**7
PATIENCE_S = 120.0


class Writer:
    """Inserts, updates, deletes, merges and splits at random, a commit each."""

    def __init__(self, out: TextIO, number: int, seed: int, pause_s: float) -> None:
        self.out = out
        self.dice = random.Random(f"{seed} {number}")
        self.pause_s = pause_s
        self.number = 0
        self.tag = number * TAGS
        self.edges = first_edges(seed).tolist()
        self.pairs = np.concatenate(neighbours()).tolist()
        self.largest = 0

    def work(self) -> Iterator[None]:
        """One operation after the other, for ever."""
        while True:
            with connection() as conn:
                (self.largest,) = conn.execute("SELECT max(id) FROM public.synapses").fetchone()  # type: ignore[misc]
                conn.commit()
                yield
                while True:
                    self.number += 1
                    self.do(conn, self.choose())
                    yield
                    time.sleep(self.dice.expovariate(1 / self.pause_s))

    def choose(self) -> dict[str, Any]:
        kinds = ("insert", "update", "delete", "merge", "split")
        (kind,) = self.dice.choices(kinds, (40, 20, 15, 12, 13))
        if kind == "merge":
            return {"do": kind, "edge": self.dice.choice(self.pairs)}
        if kind == "split":
            return {"do": kind, "edge": self.dice.choice(self.edges)}
        count = self.dice.randrange(1, 20 if kind == "insert" else 5)
        chosen: dict[str, Any] = {"do": kind}
        if kind != "insert":
            chosen["ids"] = sorted(self.dice.sample(range(1, self.largest + 1), count))
        if kind != "delete":
            chosen["tags"] = list(range(self.tag, self.tag + count))
            self.tag += count
        return chosen

    def do(self, conn: Connection, what: dict[str, Any]) -> None:
        self.tell(**what)
        try:
            done = self.call(conn, what)
            conn.commit()
        except Unavailable:
            raise
        except MatengineError as error:
            conn.rollback()
            self.tell(refused=error.message)
            return
        self.tell(done=done)

    def call(self, conn: Connection, what: dict[str, Any]) -> Any:
        if what["do"] == "delete":
            return rows.delete(conn, TABLE, what["ids"])
        if what["do"] in ("merge", "split"):
            edit = proofreading.merge if what["do"] == "merge" else proofreading.split
            done = edit(conn, DATASTACK, [tuple(what["edge"])])
            if what["do"] == "merge":
                self.edges.append(what["edge"])
            return done.operation_id
        new = [
            {"size": float(tag)} | {point: {"position": self.place()} for point in POINTS}
            for tag in what["tags"]
        ]
        if what["do"] == "insert":
            ids = rows.insert(conn, TABLE, new)
            self.largest = max(self.largest, *ids)
            return ids
        changed = [{"id": i} | row for i, row in zip(what["ids"], new, strict=True)]
        return list(rows.update(conn, TABLE, changed).items())

    def place(self) -> list[int]:
        return [self.dice.randrange(-1, int(size)) for size in SIZE]

    def tell(self, **words: Any) -> None:
        line = json.dumps({"n": self.number, "wall": time.time(), **words})
        self.out.write(line + "\n")
        self.out.flush()


class Reader:
    """Reads versions whole, and the synapses of a neuron, and compares."""

    def __init__(self, out: TextIO, folder: Path, seed: int, pause_s: float) -> None:
        self.out = out
        self.published = folder / "published.jsonl"
        self.dice = random.Random(seed)
        self.pause_s = pause_s

    def work(self) -> Iterator[None]:
        while True:
            known = lines(self.published)
            if known:
                with connection() as conn:
                    self.compare(conn, known[-1] if self.dice.random() < 0.4 else self.any(known))
            yield
            time.sleep(self.dice.expovariate(1 / self.pause_s))

    def any(self, known: list[dict[str, Any]]) -> dict[str, Any]:
        return self.dice.choice(known)

    def compare(self, conn: Connection, version: dict[str, Any]) -> None:
        whole = answer.ask(conn, DATASTACK, version["version"], Query(TABLE))
        same = digest(whole) == version["digest"]
        self.tell(version, whole.num_rows, "" if same else "other rows than when it was published")
        roots = whole["post_pt_root_id"]
        root = roots[self.dice.randrange(len(roots))].as_py()
        of_root = Query(TABLE, filters=(Filter(TABLE, "post_pt_root_id", Op.EQUAL, root),))
        part = answer.ask(conn, DATASTACK, version["version"], of_root)
        right = whole.filter(pc.equal(roots, root))
        same = digest(part) == digest(right)
        self.tell(version, part.num_rows, "" if same else f"other synapses of the root {root}")

    def tell(self, version: dict[str, Any], count: int, fault: str) -> None:
        line = {"version": version["version"], "rows": count, "fault": fault}
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()


def connection() -> Connection:
    return open_connection(database_url(VOLUME))


def lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that another process writes."""
    if not file.exists():
        return []
    text, _, _ = file.read_text().rpartition("\n")
    return [json.loads(line) for line in text.splitlines()]


def persist(client: Writer | Reader) -> None:
    """Work on behind every lost connection, unless none comes back."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            for _ in client.work():
                deadline = time.monotonic() + PATIENCE_S
        except LOST as error:
            print(repr(error), flush=True)
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def main(kind: str, folder: Path, number: int) -> None:
    seed, pause_s = int(os.environ["CHAOS_SEED"]), float(os.environ["CHAOS_PAUSE_S"])
    place = folder / kind / f"{number}.jsonl"
    place.parent.mkdir(exist_ok=True)
    with place.open("w") as out:
        if kind == "write":
            persist(Writer(out, number, seed, pause_s))
        else:
            persist(Reader(out, folder, number, 15 * pause_s))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
