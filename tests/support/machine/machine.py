"""The machine: all steps, and how often each comes."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from unittest.mock import patch

import pytest
from psycopg.conninfo import conninfo_to_dict

from machine.adversary import Adversary, until_cut
from machine.keeper import Keeper
from machine.making import Making
from matengine import times
from matengine.engine.runs import units
from matengine.engine.versions import apply, collect, compact, dropping, garbage, labels
from matengine.errors import Conflict, Gone, NotFound
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

Step = tuple[str, int]

STEPS = {
    "insert": 3,
    "insert_many": 3,
    "note": 2,
    "move": 2,
    "delete": 2,
    "merge": 3,
    "split": 2,
    "undo_edit": 2,
    "own_clock": 3,
    "erase": 1,
    "write_late": 3,
    "fail": 2,
    "heal": 1,
    "epoch": 3,
    "rough_epoch": 5,
    "rebase": 2,
    "freeze": 2,
    "ingest": 2,
    "label": 2,
    "drop": 3,
    "expire": 1,
    "collect": 3,
    "compact": 1,
    "create_table": 1,
    "delete_table": 1,
    "change_metadata": 1,
    "another_datastack": 1,
    "migrate": 1,
    "compare": 1,
    "ask": 1,
    "ask_live": 4,
}


def draw(seed: int, among: Sequence[str] = tuple(STEPS)) -> list[Step]:
    """A scenario of some kinds of step, for those who play without Hypothesis."""
    dice = random.Random(seed)
    names = dice.choices(among, [STEPS[name] for name in among], k=dice.randrange(8, 22))
    return [(name, dice.randrange(2**32)) for name in names]


@contextmanager
def small_units() -> Iterator[None]:
    """Work is cut into many units, each free at once when its worker is lost."""
    with (
        patch.multiple(collect, BLOCK=5, LONG=5),
        patch.multiple(apply, BLOCK=6),
        patch.multiple(units, LEASE_S=0, MAX_ATTEMPTS=20),
    ):
        yield


class Machine(Making):
    """After every step all that is kept is as it was, and nothing is half done."""

    def play(self, steps: Iterable[Step]) -> None:
        """Make steps, each of a name and a seed; then see that all is well in the end."""
        for name, seed in steps:
            getattr(self, name)(random.Random(seed))
            self.conn.rollback()  # a refusal may leave a transaction
            self.check()
        self.end()

    def end(self) -> None:
        """Everything heals; versions answer in every way, among them one made of all there is."""
        dice = random.Random(len(self.first.world.graph.operations))
        self.end_writer(dice)
        self.way = None
        stack = self.any_stack(dice)
        self._make(dice, stack, lambda conn: stack.begin_on(conn, True, None), rough=False)
        stack.check_difference(stack.available()[0], stack.available()[-1], dice)
        stack.check_answers(stack.available()[0], dice)
        stack.check_gone()
        self.check()

    # versions that people keep, name, let go

    def upkeep(self, dice: random.Random) -> None:
        """What may also be done while an epoch is made."""
        if all(stack.newest for stack in self.stacks):
            kinds = [self.freeze, self.label, self.drop, self.collect, self.compare, self.ask_live]
            dice.choice(kinds)(dice)
            self.conn.rollback()

    def label(self, dice: random.Random) -> None:
        """A version is pinned or not any more, gets a name or loses it."""
        stack = self.any_stack(dice)
        if not stack.told:
            return
        number, on = dice.choice(sorted(stack.told)), dice.random() < 0.6
        told, word = stack.told[number], f"v{dice.randrange(3)} of the paper"
        if dice.random() < 0.5 and not on:
            labels.name(self.conn, stack.name, number, None)
            told.name = None
        elif told.status == "EXPIRED":
            with pytest.raises(Gone):
                labels.pin(self.conn, stack.name, number, on=on)
        elif dice.random() < 0.5:
            labels.pin(self.conn, stack.name, number, on=on)
            told.pinned = on
        elif any(t.name == word for n, t in stack.told.items() if n != number):
            with pytest.raises(Conflict):
                labels.name(self.conn, stack.name, number, word)
        else:
            labels.name(self.conn, stack.name, number, word)
            told.name = word
        self.conn.commit()

    def drop(self, dice: random.Random) -> None:
        """A version goes, if it may."""
        stack = self.any_stack(dice)
        if not stack.told:
            return
        number = dice.choice(sorted(stack.told))
        if stack.told[number].status == "EXPIRED":
            with pytest.raises(Gone):
                dropping.drop(self.conn, stack.name, number)
        elif stack.told[number].pinned or stack.available()[-1] == number:
            with pytest.raises(Conflict):
                dropping.drop(self.conn, stack.name, number)
        else:
            if dice.random() < 0.3:
                until_cut(self.conn, dice, lambda c: dropping.drop(c, stack.name, number))
            with suppress(Gone):  # the connection may have been lost after it
                dropping.drop(self.conn, stack.name, number)
            stack.told[number].status = "EXPIRED"

    def expire(self, dice: random.Random) -> None:
        """The expiry date of a version has come."""
        stack, now = self.any_stack(dice), times.now()
        if stack.available():
            number = dice.choice(stack.available())
            labels.expire_on(self.conn, stack.name, number, now - timedelta(hours=1))
            self.conn.commit()
            stack.told[number].due = True
        due = [n for n in stack.available()[:-1] if stack.told[n].due and not stack.told[n].pinned]
        gone = dropping.expire_due(self.conn, stack.name, now)
        assert [v.version for v in gone] == due
        for number in due:
            stack.told[number].status = "EXPIRED"

    def collect(self, dice: random.Random) -> None:
        """What no kept epoch shows is removed, at once or on connections that are cut."""
        stack = self.any_stack(dice)
        horizon = dice.choice([garbage.LIVE_HORIZON, timedelta()])

        def collect(conn: Connection) -> garbage.Collected:
            return garbage.collect(conn, stack.name, live_horizon=horizon, batch=2)

        going = self._to_collect(stack, times.now() - horizon)
        tables = {epoch: list(stack.epochs.pop(epoch).rows) for epoch in going}
        while dice.random() < 0.4:
            until_cut(self.conn, dice, collect)
            stack.check()
        assert {*collect(self.conn).epochs} <= {*going}
        marked = self.conn.execute(
            "SELECT epoch FROM matengine.epoch WHERE datastack = %s AND collected IS NOT NULL",
            (stack.name,),
        )
        assert {epoch for (epoch,) in marked} >= {*going}
        self.conn.commit()
        if self.running is None:
            stack.check_least()
            assert collect(self.conn).tables == []
        for epoch in going:
            for table in tables[epoch]:
                stack.check_collected(epoch, table)

    def _to_collect(self, stack: Keeper, before: datetime) -> list[int]:
        """The epochs that nobody keeps: their versions went, or they had none and are old."""
        named = {told.epoch for told in stack.told.values()}
        kept = {stack.told[n].epoch for n in stack.available()} | {stack.newest}
        return [
            number
            for number, record in sorted(stack.epochs.items())
            if number not in kept and (number in named or record.time < before)
        ]

    def compact(self, dice: random.Random) -> None:
        """Histories are written anew, perhaps on connections that are cut."""
        stack = self.any_stack(dice)
        if not stack.newest:
            with pytest.raises(NotFound):
                compact.start(self.conn, stack.name)
            return
        run = Adversary(self.conn, dice, meanwhile=stack.check).bring_to_an_end(
            compact.start(self.conn, stack.name)
        )
        assert run.status in ("done", "cancelled"), run.error

    # the rest

    def another_datastack(self, dice: random.Random) -> None:
        """A second segmentation comes to the same annotation tables."""
        if len(self.stacks) == 1:
            self.end_writer(dice)
            second = Keeper(self.conn, self.volume, neighbour=self.first, ended=self.first.ended)
            second.since = second.clock()
            self.stacks.append(second)

    def migrate(self, dice: random.Random) -> None:
        """The database is as new as it can be already."""
        info = conninfo_of(self.conn)
        connections.prepare(str(conninfo_to_dict(info)["dbname"]), info)

    def compare(self, dice: random.Random) -> None:
        stack = self.any_stack(dice)
        there = stack.available()
        if len(there) > 1:
            stack.check_difference(*dice.sample(there, 2), dice)

    def ask(self, dice: random.Random) -> None:
        stack = self.any_stack(dice)
        stack.check_gone()
        if stack.available():
            stack.check_answers(dice.choice(stack.available()), dice)
