"""Works on a run as badly as can be.

Units are done in any order, twice, by workers thought dead, on connections cut at any statement;
runs are cancelled and begun again; whatever else is done to the datastack is done meanwhile. No
broker and no processes, so that every step comes from the dice.
"""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import psycopg
from adbc_driver_manager import ProgrammingError
from cutting import Cut, cut_connection

from matengine.engine.runs import engine, runs, units
from matengine.engine.runs.units import LeaseLost, Unit
from matengine.engine.workflows import WORKFLOWS
from matengine.errors import Unavailable
from matengine.storage.connections import Connection, conninfo_of, open_connection

# what may happen to one run: then it is left to come to its end
TROUBLES = 8
# statements within which a connection is cut
STATEMENTS = 30


class Adversary:
    """`again` begins a run in the place of one that was cancelled, None: nobody does.

    `meanwhile` are other things to do in the middle of a run; `stuck` is called where it does not
    move by itself.
    """

    def __init__(
        self,
        conn: Connection,
        dice: random.Random,
        *,
        again: Callable[[int], int] | None = None,
        meanwhile: Callable[[], None] | None = None,
        stuck: Callable[[], None] | None = None,
    ) -> None:
        self.conn, self.dice = conn, dice
        self.again, self.meanwhile, self.stuck = again, meanwhile, stuck
        self.asleep: list[Unit] = []
        self.troubles = dice.randrange(1, TROUBLES)
        self.cancel_in: str | None = None  # the phase in which the run is surely cancelled, once
        self.doubles = False  # whether every unit is done by two workers

    def bring_to_an_end(self, run_id: int) -> runs.Run:
        """Work until a run is done or has failed; gives it, for it may be another than at first."""
        run = self._look(run_id)
        while run.status == "running":
            if run.phase == self.cancel_in:
                self.cancel_in = None
                engine.cancel(self.conn, run.run_id)
            else:
                self._choose()(run.run_id)
            run = self._look(run.run_id)
            if run.status == "cancelled" and self.again:
                run = self._look(self.again(run.run_id))
        while self.asleep:
            self.awake(run.run_id)
        return run

    def _look(self, run_id: int) -> runs.Run:
        run = runs.get(self.conn, run_id)
        self.conn.commit()
        return run

    def _choose(self) -> Callable[[int], None]:
        if not self.troubles or self.dice.random() < 0.7:
            return self.work
        self.troubles -= 1
        bad = [self.repeat, self.abandon, self.cut, self.cut, self.cut_advance, self.awake]
        others = [self._meanwhile] * 6 if self.meanwhile else []
        return self.dice.choice([*bad, self.cancel, self.cancel, *others])

    def _meanwhile(self, run_id: int) -> None:
        if self.meanwhile:
            self.meanwhile()

    # good deeds

    def work(self, run_id: int) -> None:
        """A unit, or a phase."""
        unit_id = self._any_unit(run_id, "ready", "working")
        if unit_id and self.dice.random() < 0.8:
            unit = units.claim(self.conn, unit_id) if self.doubles else None
            if not engine.execute(self.conn, unit_id):
                self._let_time_pass(run_id)
            if unit:
                self.asleep.append(unit)
                self.awake(run_id)
        elif not engine.advance(self.conn, run_id) and not unit_id and self.stuck:
            self.stuck()

    def _let_time_pass(self, run_id: int) -> None:
        """No unit needs to rest any more after a fault."""
        self.conn.execute(
            "UPDATE matengine.unit SET lease_until = NULL WHERE run_id = %s AND state = 'ready'",
            (run_id,),
        )
        self.conn.commit()

    # bad ones

    def repeat(self, run_id: int) -> None:
        """A message that is delivered again."""
        unit_id = self._any_unit(run_id, "done")
        if unit_id:
            assert not engine.execute(self.conn, unit_id)

    def abandon(self, run_id: int) -> None:
        """A worker takes a unit and is not heard of for long."""
        unit_id = self._any_unit(run_id, "ready")
        unit = units.claim(self.conn, unit_id) if unit_id else None
        if unit:
            self.asleep.append(unit)

    def awake(self, run_id: int) -> None:
        """It wakes up and does its work, whoever has done it since."""
        if self.asleep:
            unit = self.asleep.pop(self.dice.randrange(len(self.asleep)))
            with open_connection(conninfo_of(self.conn)) as conn:
                run = runs.get(conn, unit.run_id)
                conn.commit()
                # what it does not find any more has been cleared away, what fails would be noted
                with suppress(
                    LeaseLost, Unavailable, psycopg.errors.UndefinedTable, ProgrammingError
                ):
                    WORKFLOWS[run.workflow].work[unit.kind](conn, run, unit)
                conn.rollback()

    def cut(self, run_id: int) -> None:
        """The connection of a working unit is lost at some statement."""
        unit_id = self._any_unit(run_id, "ready", "working")
        if unit_id:
            until_cut(self.conn, self.dice, lambda conn: engine.execute(conn, unit_id))

    def cut_advance(self, run_id: int) -> None:
        until_cut(self.conn, self.dice, lambda conn: engine.advance(conn, run_id))

    def cancel(self, run_id: int) -> None:
        """Somebody has the run stopped, perhaps on a connection that is lost meanwhile."""
        if self.dice.random() < 0.3:
            until_cut(self.conn, self.dice, lambda conn: engine.cancel(conn, run_id))
        else:
            engine.cancel(self.conn, run_id)

    def _any_unit(self, run_id: int, *states: str) -> int | None:
        found = self.conn.execute(
            "SELECT unit_id FROM matengine.unit WHERE run_id = %s AND state = ANY(%s) ORDER BY 1",
            (run_id, list(states)),
        ).fetchall()
        self.conn.commit()
        return self.dice.choice(found)[0] if found else None


def until_cut(conn: Connection, dice: random.Random, do: Callable[[Connection], Any]) -> None:
    """Do something on a connection that is lost at some statement, or just before it is."""
    short = cut_connection(conninfo_of(conn), after=dice.randrange(STATEMENTS))
    with suppress(psycopg.OperationalError, Cut), closing(short):
        do(short)
