"""Steps that ask of any moment, whatever else is going on."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from judging import judge
from past import Past
from questions import Asker
from small_world import START

from machine.changes import Changes
from machine.failing import failing
from machine.keeper import Keeper
from matengine import times
from matengine.engine.query import answer
from matengine.engine.query.model import Axes, Query
from matengine.errors import NotFound, Unavailable

MS = timedelta(milliseconds=1)
Told = list[tuple[Query, pa.Table]]


class Asking(Changes):
    """Answers are the oracle's; while a service fails they lack roots, and nothing else."""

    def ask_live(self, dice: random.Random) -> None:
        """Queries at moments at, around and between all that happened, on one axis or two."""
        stack = self.any_stack(dice)
        past = self._past(stack)
        moments = [self._moment(dice, past, stack) for _ in range(3)]
        if self.way is None:
            at, *axes = moments
            self._judge(dice, stack, past, at)
            self._judge(dice, stack, past, *axes)
        else:
            self._ask_failing(dice, stack, past, moments[0])

    def foretell(self, dice: random.Random, stack: Keeper, at: datetime | None) -> Told:
        """What is told of a moment that an epoch will be made of."""
        if at is None or self.way is not None or self.writer is not None:
            return []
        past = self._past(stack)
        moment = times.floor_ms(at)  # as an epoch's is
        return [self._judge(dice, stack, past, moment) for _ in range(2)]

    def check_foretold(self, stack: Keeper, at: datetime | None, told: Told) -> None:
        """The epoch of the moment tells the same, byte for byte."""
        for query, answered in told:
            assert at is not None
            assert answer.ask(self.conn, stack.name, at, query).equals(answered)
        self.conn.commit()

    def _past(self, stack: Keeper) -> Past:
        """All that is known, also what the epoch being made is not to see."""
        past = Past.of(stack, stack.world.tables)
        for table, rows in past.rows.items():
            known = stack.world.tables[table]
            if table == self.first.table:
                known = known | self.later
            assert {row["id"]: (row["created"], row["deleted"]) for row in rows} == {
                row_id: (row.created, row.deleted) for row_id, row in known.items()
            }
        return past

    def _moment(self, dice: random.Random, past: Past, stack: Keeper) -> datetime:
        now = times.floor_ms(stack.clock())
        if dice.random() < 0.2:
            return now
        moment = dice.choice(sorted(past.events())) + MS * dice.choice((-1, 0, 1))
        if dice.random() < 0.3:
            moment = now - timedelta(seconds=3) * dice.random()
        return times.floor_ms(min(now, max(START, moment)))

    def _judge(
        self,
        dice: random.Random,
        stack: Keeper,
        past: Past,
        at: datetime,
        roots_at: datetime | None = None,
    ) -> tuple[Query, pa.Table]:
        known = past.at(at, roots_at)
        tables = {t: known[t] for t in self._there(stack, at)}
        query = Asker(dice, tables, past.values([known])).query(self.erased)
        when = at if roots_at is None else Axes(at, roots_at)
        return query, judge(stack, when, query, tables, dice)

    def _there(self, stack: Keeper, at: datetime) -> list[str]:
        """The tables that had not been deleted; the others say that they were."""
        ended = [t for t, time in self.first.ended.items() if time <= at]
        for table in ended:
            with pytest.raises(NotFound, match="deleted"):
                answer.plan(self.conn, stack.name, at, Query(table))
        return [table for table in stack.world.tables if table not in ended]

    def _ask_failing(self, dice: random.Random, stack: Keeper, past: Past, at: datetime) -> None:
        """Each row is there; what is not known of it is 0, and counted."""
        known = past.at(at)
        table = dice.choice(self._there(stack, at))
        without = self.erased.get(table, set())
        with failing(self.way), _answering(self.way):
            asked = answer.plan(stack.conn, stack.name, at, Query(table))
            found = {row["id"]: row for row in answer.read(stack.conn, asked).to_pylist()}
            right = {row["id"]: row for row in known[table].rows}
            assert found.keys() - without == right.keys() - without
            for row_id in right.keys() - without:
                for column in known[table].ids_of_segmentation:
                    assert found[row_id][column] in (right[row_id][column], 0)
        stack.conn.rollback()


@contextmanager
def _answering(way: str | None) -> Iterator[None]:
    """Without a chunkedgraph there may be no answer."""
    with suppress(*([Unavailable] if way == "graph" else [])):
        yield
