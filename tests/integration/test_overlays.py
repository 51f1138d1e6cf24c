"""Overlays as tables of PostgreSQL: sweeps, readers in the way, and a crash that empties them."""

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import sql
from small_world import START, Pair, write_volume

from matengine import times
from matengine.box.postgres import PrivatePostgres
from matengine.engine.annotations import rows as annotations
from matengine.engine.annotations import tables
from matengine.engine.query import answer
from matengine.engine.query.live import differing, overlay, rows
from matengine.engine.query.model import Query
from matengine.engine.versions import dropping, garbage
from matengine.errors import Gone, Unavailable
from matengine.storage import connections
from matengine.storage.connections import conninfo_of

AT_ONCE = timedelta(0)


@dataclass
class Killable:
    """A pair on a server of its own; rows and roots have changed since its version."""

    server: PrivatePostgres
    pair: Pair

    def kill(self) -> None:
        """SIGKILL to the server, which then starts again."""
        assert self.server.process is not None
        os.kill(self.server.process.pid, signal.SIGKILL)
        self.server.bury()
        self.pair.conn.close()
        self.server.start()
        self.pair.conn = connections.connect("killable", url=self.server.url)

    def overlays(self) -> tuple[set[str], set[str]]:
        """The names of overlays: in the list, and of the tables that are there."""
        return self._names("SELECT name FROM matengine.overlay"), self._names(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'live'"
        )

    def _names(self, query: str) -> set[str]:
        names = {name for (name,) in self.pair.conn.execute(query)}
        self.pair.conn.commit()
        return names

    def sweep(self, unused: timedelta = overlay.UNUSED) -> int:
        swept = overlay.sweep(self.pair.conn, unused)
        self.pair.conn.commit()
        return swept


@pytest.fixture(scope="module")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    with PrivatePostgres(tmp_path_factory.mktemp("server") / "postgres") as server:
        connections.create_aligned_volume("killable", url=server.url)
        with connections.connect("killable", url=server.url) as conn:
            pair = Pair(conn, write_volume(tmp_path_factory.mktemp("volume")))
            dice = random.Random(2)
            pair.stir(dice, 20)
            pair.epoch()
            pair.stir(dice, 5)
            made = Killable(server, pair)
            yield made
            made.pair.conn.close()


def test_sweeps_drop_what_nobody_uses_and_what_is_in_no_list(killable: Killable) -> None:
    pair = killable.pair
    pair.judge_live(now := pair.clock())
    listed, there = killable.overlays()
    assert listed == there
    assert there
    assert killable.sweep() == 0
    pair.conn.execute("CREATE UNLOGGED TABLE live.orphan ()")
    pair.conn.commit()
    assert killable.sweep() == 1
    assert killable.overlays() == (listed, there)
    assert killable.sweep(AT_ONCE) == len(there)
    assert killable.overlays() == (set(), set())
    pair.judge_live(now)
    made = killable.overlays()
    assert len(made[0]) == len(there)
    pair.judge_live(pair.clock())  # nothing has happened since
    assert killable.overlays() == made


def test_what_is_read_is_neither_swept_nor_waited_for(
    killable: Killable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader keeps an overlay, and does not keep it from going on: roots become known."""
    pair = killable.pair
    pair.judge_live(pair.clock())  # looks up all but the row that comes now
    killable.sweep(AT_ONCE)
    monkeypatch.setattr(overlay, "RETRY", AT_ONCE)
    pair.put(pair.clock())
    at = pair.clock()

    def unresolved() -> int:
        found = answer.plan(pair.conn, pair.name, at, Query(pair.table))
        pair.conn.commit()
        return found.found.relations[pair.table].unresolved

    with monkeypatch.context() as patch:
        patch.setattr(rows, "MOST_LOOKUPS", 0)
        assert unresolved() == 1
    _, (name,) = killable.overlays()
    with connections.open_connection(conninfo_of(pair.conn)) as reader:
        reader.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier("live", name)))
        assert unresolved() == 0
        killable.sweep(AT_ONCE)
        assert killable.overlays() == ({name}, {name})
    pair.judge_live(at)
    killable.sweep(AT_ONCE)
    assert killable.overlays() == (set(), set())


def test_a_crash_empties_overlays_and_none_is_taken_for_whole(killable: Killable) -> None:
    pair = killable.pair
    pair.judge_live(now := pair.clock())
    pair.judge_live(before := START)  # no row was there
    plans = [answer.plan(pair.conn, pair.name, at, Query(pair.table)) for at in (now, before)]
    _, there = killable.overlays()
    killable.kill()
    assert killable.overlays() == (set(), there)
    for planned in plans:
        with pytest.raises(Unavailable, match="ask again"):
            answer.read(pair.conn, planned)
    for at in (now, before):
        pair.judge_live(at)
    pair.check_versions()
    listed, all_there = killable.overlays()
    assert listed == all_there - there
    assert len(listed) == len(there)
    killable.kill()
    assert killable.sweep() == len(all_there)
    assert killable.overlays() == (set(), set())
    pair.judge_live(now)


def test_an_epoch_that_goes_is_missed_by_plans_and_not_by_new_questions(killable: Killable) -> None:
    pair = killable.pair
    now, query = pair.clock(), Query(pair.table)
    plans = [answer.plan(pair.conn, pair.name, at, query) for at in (1, now)]
    pair.conn.commit()
    pair.epoch()
    dropping.drop(pair.conn, pair.name, 1)
    later = times.now() + garbage.LIVE_HORIZON
    assert garbage.collect(pair.conn, pair.name, now=later).epochs == [1]
    pair.conn.commit()
    for planned in plans:
        with pytest.raises(Gone, match="not kept any more"):
            answer.read(pair.conn, planned)
    pair.judge_live(now)


def test_a_table_that_no_epoch_has_is_told_once_until_it_changes(
    killable: Killable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, conn = killable.pair, killable.pair.conn
    point = {"pt": {"position": [1, 2, 2]}, "cell_type": "MC", "classification_system": ""}
    tables.create_table(
        conn, "young", "cell_type_local", voxel_resolution_nm=(1, 1, 1), description=""
    )

    def told() -> tuple[int, set[int], int]:
        """How many rows and overlays there are, and the roots."""
        conn.commit()
        found = answer.ask(conn, pair.name, pair.clock(), Query("young"))
        conn.commit()
        made = {name for name in killable.overlays()[1] if name.startswith("young")}
        return found.num_rows, set(found["pt_root_id"].to_pylist()), len(made)

    annotations.insert(conn, "young", [point])
    with monkeypatch.context() as patch:
        patch.setattr(differing, "MOST_WHOLE", 0)
        with pytest.raises(Unavailable, match="No epoch has the table 'young'"):
            told()
    rows_before, roots_before, made = told()
    assert (rows_before, made) == (1, 1)
    assert told() == (rows_before, roots_before, 1)
    annotations.insert(conn, "young", [point])
    assert told() == (2, roots_before, 1)
    supervoxel = int(pair.voxels[1, 2, 2])
    pair.merge(pair.supervoxels.index(supervoxel), pair.supervoxels.index(supervoxel) + 40)
    rows_after, roots_after, made = told()
    assert (rows_after, made) == (2, 1)
    assert roots_after != roots_before


def test_what_was_said_of_a_moment_stays_whatever_comes_too_late(killable: Killable) -> None:
    """Rows that are written, ended or removed late, before and after epochs take that up."""
    pair = killable.pair

    def told(at: datetime) -> list[dict[str, Any]]:
        found = answer.ask(pair.conn, pair.name, at, Query(pair.table)).to_pylist()
        pair.conn.commit()
        return found

    doomed = [pair.put(pair.clock()) for _ in range(4)]
    pair.epoch(publish=False)
    before = pair.clock()
    moments = [pair.clock()]
    pair.merge(3, 40)
    pair.insert([(4, 5, 6), (7, 8, 9), (1, 1, 1)], 2.5)
    pair.erase(doomed[0])
    pair.end(doomed[1], pair.clock())
    moments.append(pair.clock())
    pair.split(5)
    pair.insert([(6, 5, 4), (9, 8, 7), (1, 1, 1)], None)
    right = [told(at) for at in moments]
    ids = [{row["id"] for row in rows} for rows in right]
    assert [doomed[0] in found for found in ids] == [True, False]
    pair.epoch(publish=False)
    assert [told(at) for at in moments] == right

    pair.put(before - timedelta(hours=1))
    pair.put(before)
    pair.end(doomed[2], moments[0] - timedelta(milliseconds=1))
    pair.erase(doomed[3])
    assert [told(at) for at in moments] == right
    now = told(pair.clock())
    assert {row["id"] for row in now}.isdisjoint(doomed)
    killable.sweep(AT_ONCE)
    assert [told(at) for at in moments] == right
    pair.epoch(publish=False)
    assert [told(at) for at in moments] == right
    assert told(pair.clock()) == now
    for row_id in doomed:
        pair.forget(row_id)


def test_moments_are_right_in_whatever_order_they_are_asked_for(
    killable: Killable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One table goes on from moment to moment; those in between, and worn ones, are copied."""
    pair, dice = killable.pair, random.Random(7)

    def tables() -> int:
        return sum(name.startswith(pair.table) for name in killable.overlays()[1])

    moments = []
    for _ in range(4):
        pair.stir(dice, 2, 2)
        moments.append(pair.clock())
    killable.sweep(AT_ONCE)
    for at in (moments[0], moments[3]):
        pair.judge_live(at)
    assert tables() == 1
    for at in (moments[1], moments[2]):
        pair.judge_live(at)
    assert tables() == 2
    pair.judge_axes(moments[3], moments[1])
    monkeypatch.setattr(overlay, "MOST_PAST", -1_000_000)
    for _ in range(3):
        pair.stir(dice, 1, 3)
        pair.judge_live(pair.clock())
        pair.judge_axes(pair.clock(), moments[2])
    assert tables() > 3
    for at in dice.sample(moments, 4):
        pair.judge_live(at)


def test_many_who_ask_for_the_same_at_once_wait_for_one(killable: Killable) -> None:
    pair = killable.pair
    pair.stir(random.Random(11), 3)
    at = pair.clock()
    killable.sweep(AT_ONCE)

    def rows_then(_: int) -> int:
        with connections.open_connection(conninfo_of(pair.conn)) as conn:
            return answer.ask(conn, pair.name, at, Query(pair.table)).num_rows

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(rows_then, range(6)))) == 1
    assert pair.conn.execute("SELECT count(*) FROM matengine.overlay").fetchone() == (1,)
    pair.conn.commit()
