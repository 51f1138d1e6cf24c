"""A load killed at any moment and started again makes the table that a whole one makes."""

import random
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import psycopg
import pytest

from matengine.engine.annotations import bulk, rows, tables
from matengine.storage.connections import Connection

ROWS = 5_000
BATCH = 1_000
CREATED = np.full(ROWS, np.datetime64("2026-01-01", "us"))


@pytest.fixture(autouse=True)
def indexes_come_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "REINDEX_ROWS", 100)


def source() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    points = {f"{p}_position": rng.random((ROWS, 3)) for p in ("pre_pt", "post_pt", "ctr_pt")}
    return {"id": rng.permutation(ROWS) + 1, "created": CREATED, **points}


def make(conn: Connection, name: str) -> None:
    tables.create_table(conn, name, "synapse", voxel_resolution_nm=(4, 4, 40), description="")
    conn.commit()


def contents(conn: Connection, name: str) -> list[dict[str, Any]]:
    return rows.get(conn, name, range(ROWS + 10))


def indexes(conn: Connection, name: str) -> list[str]:
    found = conn.execute(
        "SELECT replace(indexdef, %s, 'T') FROM pg_indexes WHERE tablename = %s ORDER BY 1",
        (name, name),
    )
    return [definition for (definition,) in found]


def load(conn: Connection, progress: Any = lambda done, total, what: None) -> bulk.Loaded:
    return bulk.load(
        conn,
        "broken",
        source(),
        receipt="r",
        commit_batches=True,
        batch_rows=BATCH,
        progress=progress,
    )


def kill(av: Any, pid: int) -> None:
    with av.connect() as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def check_whole(av: Any) -> None:
    with av.connect() as conn:
        make(conn, "whole")
        assert indexes(conn, "broken") == indexes(conn, "whole")
        bulk.load(conn, "whole", source())
        assert contents(conn, "broken") == contents(conn, "whole")
        assert load(conn).rows == 0


@pytest.mark.parametrize("moment", range(ROWS // BATCH + 1))
def test_killed_after_each_step(av: Any, moment: int) -> None:
    """The first call of progress tells of the check, each other one of a batch."""
    with av.connect() as conn:
        make(conn, "broken")
        calls = []

        def progress(done: int, total: int | None, what: str) -> None:
            calls.append(done)
            if len(calls) == moment + 1:
                kill(av, conn.info.backend_pid)

        with pytest.raises(psycopg.OperationalError):
            load(conn, progress)
    with av.connect() as conn:
        assert rows.count(conn, "broken") == moment * BATCH
        done = load(conn)
        assert (done.before, done.rows) == (moment * BATCH, ROWS - moment * BATCH)
    check_whole(av)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(av: Any, seed: int) -> None:
    dice = random.Random(seed)
    with av.connect() as conn:
        make(conn, "broken")
    for _ in range(8):
        with suppress(psycopg.OperationalError), av.connect() as conn:
            timer = threading.Timer(dice.random() * 0.4, kill, (av, conn.info.backend_pid))
            timer.start()
            load(conn)
        timer.join()
    with av.connect() as conn:
        load(conn)
    check_whole(av)


def test_two_loads_under_one_receipt(av: Any) -> None:
    """Whatever their order, each batch is there once."""
    with av.connect() as conn:
        make(conn, "broken")
    barrier = threading.Barrier(3)

    def work() -> None:
        with av.connect() as conn:
            barrier.wait()
            with suppress(Exception):
                load(conn)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with av.connect() as conn:
        load(conn)
    check_whole(av)
