"""What all steps work on: datastacks over one aligned volume, and who else is at it."""

import random
from datetime import datetime
from typing import Any

from clearing import clear
from small_world import SIZE, START

from machine.keeper import Keeper
from matengine.engine.annotations import rows as annotations
from matengine.storage.connections import Connection, conninfo_of, open_connection
from matengine.testing.world import Annotation

_HALF_DONE = """
SELECT 'a run', count(*) FROM matengine.run WHERE status = 'running'
UNION ALL SELECT 'an epoch', count(*) FROM matengine.epoch WHERE sealed IS NULL
UNION ALL SELECT 'a version', count(*) FROM matengine.version WHERE status = 'RUNNING'
UNION ALL SELECT 'a unit', count(*) FROM matengine.unit WHERE state IN ('ready', 'working')
UNION ALL SELECT 'a root', count(*) FROM matengine.expired_root
UNION ALL SELECT 'a change', count(*) FROM matengine.change WHERE epoch IS NOT NULL
UNION ALL SELECT 'staged rows', count(*) FROM pg_tables
  WHERE schemaname = 'staging' AND tablename ~ '__epoch_'
UNION ALL SELECT 'a copy: ' || coalesce(min(tablename), ''), count(*) FROM pg_tables
  WHERE schemaname = 'history' AND tablename !~ '^(syn|note|more)_'
"""


class Ground:
    """`stacks` are one or two datastacks; the first made the tables. `way`: see `failing`."""

    def __init__(self, conn: Connection, volume: str) -> None:
        self.conn, self.volume = conn, volume
        conn.execute("SET lock_timeout TO '20s'")  # a step that waits for another is a fault
        conn.commit()
        self.first = Keeper(conn, volume)
        self.first.since = self.first.clock()
        self.stacks = [self.first]
        self.way: str | None = None
        self.running: int | None = None  # the run of an epoch that is being made
        # rows of tables are as the engine must see them; what it sees later waits here
        self.later: dict[int, Annotation] = {}
        self.writer: Connection | None = None
        self.touched: list[int] = []
        self.before: dict[str, int] = {}  # the newest epochs when the writer began
        # ids of rows that were removed: nobody can tell any more when they were there
        self.erased: dict[str, set[int]] = {}
        # epochs at an earlier time would be of a past that has been rewritten
        self.floor: datetime = START

    def any_stack(self, dice: random.Random) -> Keeper:
        return dice.choice(self.stacks)

    def any_point(self, dice: random.Random) -> tuple[int, int, int]:
        """A point in the volume or close to it."""
        return (dice.randrange(-1, SIZE + 1), dice.randrange(SIZE), dice.randrange(SIZE))

    def extra_tables(self) -> list[str]:
        """The annotation tables that are there beside the synapses and notes."""
        own = (self.first.table, self.first.notes)
        return [t for t in self.first.world.tables if t not in own and t not in self.first.ended]

    # what must hold

    def check(self) -> None:
        """All kept epochs and versions are as they were; without a run nothing is half done."""
        for stack in self.stacks:
            stack.check()
        if self.running is None:
            for what, left in self.conn.execute(_HALF_DONE):
                assert left == 0, f"{what} is left half done"
        self.conn.commit()

    # a transaction that is open for long

    def write_late(self, dice: random.Random) -> None:
        """A transaction that writes a row and stays open; or it ends."""
        if self.writer:
            self.end_writer(dice)
            return
        self.writer = conn = open_connection(conninfo_of(self.conn))
        living, kind = self.first._living(), dice.randrange(3)
        row: dict[str, Any] = {"pre_pt": {"position": self.any_point(dice)}}
        if kind == 0 or not living:
            row |= {n: {"position": self.any_point(dice)} for n in ("post_pt", "ctr_pt")}
            self.touched = annotations.insert(conn, self.first.table, [row])
        elif kind == 1:
            old = dice.choice(living)
            new = annotations.update(conn, self.first.table, [row | {"id": old}])
            self.touched = [old, *new.values()]
        else:
            self.touched = annotations.delete(conn, self.first.table, [dice.choice(living)])
        self.first.reserved |= set(self.touched)
        self.before = {stack.name: stack.newest for stack in self.stacks}

    def end_writer(self, dice: random.Random) -> None:
        """The open transaction commits, or does not."""
        if self.writer:
            if commits := dice.random() < 0.7:
                self.writer.commit()
            self.writer.close()
            self.writer = None
            self.first.reserved -= set(self.touched)
            if commits:
                self.first._learn(self.first.table, self.touched)
                self._check_waited()

    def _check_waited(self) -> None:
        """Epochs made since the writer began show its rows where they are of a later time."""
        for stack in self.stacks:
            for number, record in stack.epochs.items():
                if number > self.before.get(stack.name, 0):
                    there = {row["id"] for row in record.rows[self.first.table]}
                    for row_id in self.touched:
                        row = self.first.world.tables[self.first.table][row_id]
                        assert row.shows(record.time) == (row_id in there), "a writer came too late"

    def leave(self) -> None:
        """Take all away, so that it costs later scenarios nothing."""
        if self.writer:
            self.writer.close()
        self.conn.rollback()
        clear(self.conn)
