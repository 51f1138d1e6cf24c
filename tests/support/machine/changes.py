"""Steps that annotate and proofread."""

import random
import uuid
from datetime import timedelta
from typing import Any

from machine.ground import Ground
from matengine.engine.annotations import rows as annotations
from matengine.engine.annotations import tables
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph import local

# schemas of the tables that come, with a row of each but for its points
_SCHEMAS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "cell_type_local": (("pt",), {"cell_type": "MC", "classification_system": "µ"}),
    "synapse": (("pre_pt", "post_pt", "ctr_pt"), {"size": 2.5}),
}


class Changes(Ground):
    """Annotations and edits of the chunkedgraph; each may also come while an epoch is made."""

    def change(self, dice: random.Random) -> None:
        """One of those that are simple."""
        dice.choice(
            [
                self.insert,
                self.insert_many,
                self.note,
                self.move,
                self.delete,
                self.merge,
                self.merge,
                self.split,
                self.undo_edit,
            ]
        )(dice)

    def insert(self, dice: random.Random) -> None:
        points = [self.any_point(dice) for _ in range(3)]
        self.first.insert(points, dice.choice([None, 1.5, dice.random()]))

    def insert_many(self, dice: random.Random) -> None:
        """Into any table with points."""
        table = dice.choice([self.first.table, *self.extra_tables()])
        names, row = _SCHEMAS[self.first.layout(table).schema_type]
        rows = [
            row | {name: {"position": self.any_point(dice)} for name in names}
            for _ in range(dice.randrange(1, 20))
        ]
        ids = annotations.insert(self.conn, table, rows)
        self.conn.commit()
        self.first._learn(table, ids)

    def note(self, dice: random.Random) -> None:
        if self.first.notes not in self.first.ended and not self.writer:
            self.first.note(dice.randrange(99))  # it would wait for a row that is being written

    def move(self, dice: random.Random) -> None:
        self.first.move(dice.randrange(99), self.any_point(dice))

    def delete(self, dice: random.Random) -> None:
        self.first.delete(dice.randrange(99))

    def merge(self, dice: random.Random) -> None:
        self.any_stack(dice).merge(dice.randrange(99), dice.randrange(99))

    def split(self, dice: random.Random) -> None:
        self.any_stack(dice).split(dice.randrange(99))

    def undo_edit(self, dice: random.Random) -> None:
        """Take back an edit of the chunkedgraph."""
        stack = self.any_stack(dice)
        graph = stack.world.graph
        if not graph.operations:
            return
        operation = dice.choice(sorted(graph.operations))
        if operation in graph.last_change.values():
            edit = local.undo(self.conn, stack.name, operation)
            self.conn.commit()
            graph.undo(operation, at=edit.at)
        else:  # all that it did has been changed since
            try:
                local.undo(self.conn, stack.name, operation)
            except Invalid:
                self.conn.rollback()
            else:
                raise AssertionError("an edit was undone of which nothing was left")

    def own_clock(self, dice: random.Random) -> None:
        """A program with a clock of its own tells of rows that came or went, or will.

        An epoch that has taken up the changes due does not see it any more.
        """
        pair, now = self.first, self.first.clock()
        known = dict(pair.world.tables[pair.table])
        moment = now + timedelta(milliseconds=dice.randrange(-1500, 60))
        # what is new may have been taken up by a run that has not looked at it yet
        shown = set(pair._living()) & self._in_newest_epochs()
        if dice.random() < 0.6 or not shown:
            ends = moment + timedelta(milliseconds=dice.randrange(1, 900))
            points = [self.any_point(dice) for _ in range(3)]
            row_id = pair.put(moment, ends if dice.random() < 0.3 else None, points)
        else:
            row_id = dice.choice(sorted(shown))
            pair.end(row_id, max(moment, known[row_id].created))
        if self._has_collected():
            self.later[row_id] = pair.world.tables[pair.table][row_id]
            pair.reserved.add(row_id)
            pair.world.tables[pair.table] = known

    def _in_newest_epochs(self) -> set[int]:
        """The synapses that the newest epoch of every datastack shows."""
        newest = [s.epochs[s.newest].rows if s.newest else {} for s in self.stacks]
        return set.intersection(
            *({row["id"] for row in rows.get(self.first.table, [])} for rows in newest)
        )

    def _has_collected(self) -> bool:
        """Whether the epoch being made has taken up what changed."""
        if self.running is None:
            return False
        row = self.conn.execute(
            "SELECT phase <> 'wait' FROM matengine.run WHERE run_id = %s AND status = 'running'",
            (self.running,),
        ).fetchone()
        self.conn.commit()
        return row is not None and row[0]

    def settle_later(self) -> None:
        """The run has ended: from now on epochs see what came too late for it."""
        self.first.world.tables[self.first.table] |= self.later
        self.first.reserved -= set(self.later)
        self.later.clear()

    def erase(self, dice: random.Random) -> None:
        """A row is removed as if it had never been; its id may come again."""
        pair = self.first
        ids = sorted(set(pair.world.tables[pair.table]) - pair.reserved)
        if ids:
            row_id = dice.choice(ids)
            self._note_erased(row_id)
            pair.erase(row_id)
            pair.forget(row_id)
            if dice.random() < 0.4:
                points = [self.any_point(dice) for _ in range(3)]
                pair.put(pair.clock(), points=points, row_id=row_id)
            self.floor = pair.clock()

    def _note_erased(self, row_id: int) -> None:
        """It goes with the notes about it."""
        pair = self.first
        notes = pair.world.tables[pair.notes]
        about = {i for i, note in notes.items() if note.fields["target_id"] == row_id}
        self.erased.setdefault(pair.table, set()).add(row_id)
        self.erased.setdefault(pair.notes, set()).update(about)

    def create_table(self, dice: random.Random) -> None:
        """A table comes, with some rows."""
        if len(self.extra_tables()) < 2:
            name = f"more_{uuid.uuid4().hex[:6]}"
            schema = dice.choice(sorted(_SCHEMAS))
            tables.create_table(
                self.conn, name, schema, voxel_resolution_nm=(1, 1, 1), description=""
            )
            self.conn.commit()
            self.first.world.tables[name] = {}
            self.insert_many(dice)

    def delete_table(self, dice: random.Random) -> None:
        """A table goes; versions keep what they show."""
        there = [*self.extra_tables(), self.first.notes]
        table = dice.choice(there)
        if table not in self.first.ended:
            deleted = tables.delete_table(self.conn, table).deleted
            self.conn.commit()
            assert deleted is not None
            self.first.ended[table] = deleted

    def change_metadata(self, dice: random.Random) -> None:
        """What is said of a table says nothing of its rows."""
        table = dice.choice([self.first.table, *self.extra_tables()])
        tables.update_metadata(self.conn, table, description=f"changed {dice.random()}")
        self.conn.commit()
