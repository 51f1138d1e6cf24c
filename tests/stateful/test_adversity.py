"""Epochs under an adversary: units in any order, twice, abandoned, cut anywhere, runs cancelled.

No broker and no processes, so that every step is drawn from the seed. After each epoch the version
is the oracle's, and all older ones are as they were, byte for byte.
"""

import os
import random
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from adbc_driver_manager import ProgrammingError
from cutting import Cut, cut_connection
from small_world import SIZE, Pair, write_volume

from matengine.engine.lookup import ingest
from matengine.engine.runs import engine, runs, units
from matengine.engine.runs.units import LeaseLost, Unit
from matengine.engine.versions import apply, collect
from matengine.engine.workflows import WORKFLOWS
from matengine.storage.connections import Connection

SCENARIOS = int(os.environ.get("MATENGINE_TEST_ADVERSITIES", "24"))
FIRST_SEED = int(os.environ.get("MATENGINE_TEST_SEED", "0"))
# cuts, cancellations and dead workers of one epoch: then it is left to come to its end
TROUBLES = 12


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


@pytest.fixture(autouse=True)
def many_small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "BLOCK", 5)
    monkeypatch.setattr(collect, "LONG", 5)
    monkeypatch.setattr(apply, "BLOCK", 6)
    # a unit that was cut is free at once, and may be cut as often as there are troubles
    monkeypatch.setattr(units, "LEASE_S", 0)
    monkeypatch.setattr(units, "MAX_ATTEMPTS", TROUBLES + 2)


class Adversary:
    """Works on a run as badly as can be."""

    def __init__(self, av: Any, pair: Pair, dice: random.Random) -> None:
        self.av, self.pair, self.dice = av, pair, dice
        self.asleep: list[Unit] = []
        self.troubles = 0

    def bring_to_an_end(self, run_id: int) -> int:
        """Work until a run of this epoch is done; gives it, for it may be another than at first."""
        self.troubles = TROUBLES
        at = runs.get(self.pair.conn, run_id).time
        while (run := runs.get(self.pair.conn, run_id)).status == "running":
            self.pair.conn.commit()
            self._choose()(run_id)
            if runs.get(self.pair.conn, run_id).status == "cancelled":
                run_id = self.pair.begin(at=at if self.dice.random() < 0.5 else None)
        assert run.status == "done", run.error
        while self.asleep:
            self.awake(run_id)
        return run_id

    def _choose(self) -> Any:
        kinds = [self.work] * 6 + [self.advance] * 3
        if self.troubles > 0:
            kinds += [self.repeat, self.abandon, self.cut, self.cut, self.cut_advance, self.ingest]
            kinds += [self.awake, self.change] + [self.cancel] * (self.dice.random() < 0.3)
        chosen = self.dice.choice(kinds)
        if chosen not in (self.work, self.advance):
            self.troubles -= 1
        return chosen

    # good deeds

    def advance(self, run_id: int) -> None:
        engine.advance(self.pair.conn, run_id)

    def work(self, run_id: int) -> None:
        unit_id = self._any_unit(run_id, "state IN ('ready', 'working')")
        if unit_id:
            engine.execute(self.pair.conn, unit_id)

    # bad ones

    def repeat(self, run_id: int) -> None:
        """A message that is delivered again."""
        unit_id = self._any_unit(run_id, "state = 'done'")
        if unit_id:
            assert not engine.execute(self.pair.conn, unit_id)

    def abandon(self, run_id: int) -> None:
        """A worker takes a unit and is not heard of for long."""
        unit_id = self._any_unit(run_id, "state = 'ready'")
        unit = units.claim(self.pair.conn, unit_id) if unit_id else None
        if unit:
            self.asleep.append(unit)

    def awake(self, run_id: int) -> None:
        """It wakes up and does its work, whoever has done it since."""
        if self.asleep:
            unit = self.asleep.pop(self.dice.randrange(len(self.asleep)))
            with self.av.connect() as conn:
                run = runs.get(conn, unit.run_id)
                conn.commit()
                # whatever it does not find any more has been cleared away
                with suppress(LeaseLost, psycopg.errors.UndefinedTable, ProgrammingError):
                    WORKFLOWS[run.workflow].work[unit.kind](conn, run, unit)

    def cut(self, run_id: int) -> None:
        """The connection of a working unit is lost at some statement."""
        unit_id = self._any_unit(run_id, "state IN ('ready', 'working')")
        if unit_id:
            with suppress(psycopg.OperationalError, Cut), closing(self._short_connection()) as conn:
                engine.execute(conn, unit_id)

    def cut_advance(self, run_id: int) -> None:
        with suppress(psycopg.OperationalError, Cut), closing(self._short_connection()) as conn:
            engine.advance(conn, run_id)

    def cancel(self, run_id: int) -> None:
        if self.dice.random() < 0.3:
            with suppress(psycopg.OperationalError, Cut), closing(self._short_connection()) as conn:
                engine.cancel(conn, run_id)
        else:
            engine.cancel(self.pair.conn, run_id)

    def ingest(self, run_id: int) -> None:
        """Look up what is new meanwhile, in part."""
        conn = self.pair.conn
        ingesting = ingest.start(conn, self.pair.name)
        for _ in range(self.dice.randrange(4)):
            self.dice.choice([self.advance, self.work])(ingesting)
        if self.dice.random() < 0.5:
            engine.cancel(conn, ingesting)

    def change(self, run_id: int) -> None:
        """Somebody annotates or proofreads while the epoch is made."""
        stir(self.pair, self.dice)

    def _any_unit(self, run_id: int, which: str) -> int | None:
        found = self.pair.conn.execute(
            f"SELECT unit_id FROM matengine.unit WHERE run_id = %s AND {which} ORDER BY 1",  # noqa: S608
            (run_id,),
        ).fetchall()
        self.pair.conn.commit()
        return self.dice.choice(found)[0] if found else None

    def _short_connection(self) -> Connection:
        return cut_connection(self.av.url, after=self.dice.randrange(24))


def stir(pair: Pair, dice: random.Random) -> None:
    """One change of any kind, now or at a time of its own."""

    def point() -> tuple[int, int, int]:
        return (dice.randrange(-1, SIZE + 1), dice.randrange(SIZE), dice.randrange(SIZE))

    number = dice.randrange
    dice.choice(
        [
            lambda: pair.insert([point(), point(), point()], dice.random()),
            lambda: pair.stir(dice, dice.randrange(1, 20), 0),
            lambda: pair.note(number(99)),
            lambda: pair.move(number(99), point()),
            lambda: pair.delete(number(99)),
            lambda: pair.merge(number(99), number(99)),
            lambda: pair.merge(number(99), number(99)),
            lambda: pair.split(number(99)),
        ]
    )()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SCENARIOS))
def test_versions_are_the_oracles(av: Any, conn: Connection, volume: str, seed: int) -> None:
    dice = random.Random(seed)
    pair = Pair(conn, volume)
    adversary = Adversary(av, pair, dice)
    pair.stir(dice, dice.randrange(5, 30), 1)
    for _ in range(3):
        for _ in range(dice.randrange(1, 7)):
            stir(pair, dice)
        run_id = adversary.bring_to_an_end(pair.begin(publish=dice.random() < 0.8))
        pair.finish(run_id)
    pair.epoch()
    pair.check_versions()
