"""Workers, connections and messages lost at random moments: versions are the oracle's all the same.

Real PostgreSQL, Redis, Celery workers and scheduler; units are made small, so that a run has many.
"""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import Works, until, works
from small_world import SIZE, Pair, write_volume

from matengine.engine import upload
from matengine.engine.annotations import rows
from matengine.engine.pacing import choice
from matengine.engine.runs import runs
from matengine.storage.connections import Connection, create_aligned_volume

ROWS = 200
VOLUME = "killed"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    with works(Path(tmp_path_factory.mktemp("works"))) as found:
        create_aligned_volume(VOLUME, url=found.settings.database_url)
        yield found


@pytest.fixture
def pair(running: Works, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(running.connect(VOLUME), write_volume(tmp_path / "volume"))
    yield pair
    pair.check_versions()
    pair.leave()
    pair.conn.close()


@pytest.fixture
def worker(running: Works) -> Iterator[Popen[bytes]]:
    process = running.worker()
    yield process
    if process in running.running:
        running.kill(process)


@pytest.fixture
def dice() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    return random.Random(seed)


def begin(running: Works, pair: Pair) -> int:
    run_id = pair.begin()
    running.send("advance", VOLUME, run_id)
    return run_id


def finish(pair: Pair, run_id: int) -> None:
    await_end(pair.conn, run_id)
    pair.finish(run_id)


def await_end(conn: Connection, run_id: int) -> None:
    until(lambda: not is_running(conn, run_id), f"run {run_id} ended", 0.05)


def is_running(conn: Connection, run_id: int) -> bool:
    return progress(conn, run_id)[0] == "running"


def progress(conn: Connection, run_id: int) -> tuple[str, int]:
    """The status of a run, and how many of its units have been begun."""
    row = conn.execute(
        "SELECT status, (SELECT count(*) FROM matengine.unit AS u"
        " WHERE u.run_id = r.run_id AND u.attempts > 0) FROM matengine.run AS r WHERE run_id = %s",
        (run_id,),
    ).fetchone()
    conn.commit()
    assert row is not None
    return row


def await_moment(conn: Connection, run_id: int, dice: random.Random, units: int = 12) -> bool:
    """Wait for a random moment of a run; false where the run ended before."""
    begun = dice.randrange(units)

    def come() -> bool:
        status, found = progress(conn, run_id)
        return status != "running" or found >= begun

    until(come, f"{begun} units of run {run_id} are begun", 0.002)
    time.sleep(dice.random() * 0.05)
    return is_running(conn, run_id)


def test_four_workers_killed_in_a_row(
    running: Works, pair: Pair, worker: Popen[bytes], dice: random.Random
) -> None:
    """Half of the time another one is there, or just comes up, when it happens."""
    in_time = 0
    for _ in range(4):
        pair.stir(dice, ROWS)
        successor = running.worker() if dice.random() < 0.5 else None
        run_id = begin(running, pair)
        in_time += await_moment(pair.conn, run_id, dice)
        running.kill(worker)
        worker = successor or running.worker()
        finish(pair, run_id)
    running.kill(worker)
    assert in_time, "no kill hit a run"


def test_connections_lost_in_the_midst_of_units(
    running: Works, pair: Pair, worker: Popen[bytes], dice: random.Random
) -> None:
    lost = 0
    for _ in range(3):
        pair.stir(dice, ROWS)
        run_id = begin(running, pair)
        for _ in range(4):
            await_moment(pair.conn, run_id, dice)
            lost += terminate(pair.conn)
        finish(pair, run_id)
    assert lost, "no connection was lost"


def terminate(conn: Connection) -> int:
    """End the connections of the workers; gives how many were in a transaction."""
    found = conn.execute(
        "SELECT count(*) FILTER (WHERE xact_start IS NOT NULL), count(pg_terminate_backend(pid))"
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()
    conn.commit()
    assert found is not None
    return int(found[0])


def test_messages_twice_and_two_workers(
    running: Works, pair: Pair, worker: Popen[bytes], dice: random.Random
) -> None:
    second = running.worker()
    for _ in range(3):
        pair.stir(dice, ROWS)
        run_id = begin(running, pair)
        sent: set[int] = set()
        while is_running(pair.conn, run_id):
            for unit_id in units_of(pair.conn, run_id) - sent:
                for _ in range(2):
                    running.send("unit", VOLUME, unit_id, queue="lookup")
                sent.add(unit_id)
            running.send("advance", VOLUME, run_id)
            time.sleep(0.1)
        assert sent
        finish(pair, run_id)
    running.kill(second)


def units_of(conn: Connection, run_id: int) -> set[int]:
    found = conn.execute("SELECT unit_id FROM matengine.unit WHERE run_id = %s", (run_id,))
    units = {unit_id for (unit_id,) in found}
    conn.commit()
    return units


def test_lost_messages(
    running: Works, pair: Pair, worker: Popen[bytes], dice: random.Random
) -> None:
    in_time = 0
    for _ in range(3):
        pair.stir(dice, ROWS)
        run_id = begin(running, pair)
        for _ in range(3):
            in_time += await_moment(pair.conn, run_id, dice)
            running.lose_messages()
        finish(pair, run_id)
    assert in_time, "no message was lost during a run"


def test_epochs_come_by_themselves_and_versions_between_them(
    running: Works, pair: Pair, worker: Popen[bytes], dice: random.Random
) -> None:
    """A version that is asked for meanwhile waits for its turn at most."""
    wanted = {"active": True, "least": timedelta(seconds=1), "most": timedelta(seconds=1)}
    choice.change(pair.conn, pair.name, wanted)
    pair.conn.commit()
    pair.stir(dice, 50)
    until(lambda: epochs(pair) >= 1, "the first epoch is made", 0.05)
    pair.stir(dice, 50)
    finish(pair, begin(running, pair))
    choice.change(pair.conn, pair.name, {"active": False})
    pair.conn.commit()
    until(lambda: not runs.running(pair.conn), "nothing goes on", 0.05)
    pair.judge_live(pair.clock())


def epochs(pair: Pair) -> int:
    """How many have been made that nobody asked for."""
    (count,) = pair.conn.execute(
        "SELECT count(*) FROM matengine.run"
        " WHERE datastack = %s AND status = 'done' AND parameters ? 'paced'",
        (pair.name,),
    ).fetchone() or (0,)
    pair.conn.commit()
    return int(count)


def attempts(conn: Connection, run_id: int) -> int:
    """How often workers have begun the unit of a run that loads, or others instead."""
    (count,) = conn.execute(
        "SELECT coalesce(sum(attempts), 0) FROM matengine.unit WHERE run_id = %s", (run_id,)
    ).fetchone() or (0,)
    conn.commit()
    return int(count)


def test_uploads_go_on_behind_killed_workers(
    running: Works, pair: Pair, worker: Popen[bytes], dice: random.Random, tmp_path: Path
) -> None:
    count = 3000
    file = tmp_path / "rows.parquet"
    rng = np.random.default_rng(dice.randrange(1000))
    points = {
        f"{point}_position_{axis}": rng.integers(0, SIZE, count).astype(float)
        for point in ("pre_pt", "post_pt", "ctr_pt")
        for axis in "xyz"
    }
    pq.write_table(pa.table({"id": np.arange(1, count + 1), **points}), file)
    run_id = upload.start(pair.conn, pair.name, pair.table, file)
    running.send("advance", VOLUME, run_id)
    for begun in (1, 2):
        until(lambda n=begun: attempts(pair.conn, run_id) >= n, "the load has begun")
        time.sleep(dice.random() * 0.3)
        running.kill(worker)
        worker = running.worker()
    await_end(pair.conn, run_id)
    assert rows.count(pair.conn, pair.table) == count
    pair._learn(pair.table, list(range(1, count + 1)))
    run_id = begin(running, pair)
    finish(pair, run_id)
    running.kill(worker)
