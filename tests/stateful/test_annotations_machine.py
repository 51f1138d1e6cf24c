"""Whatever is done to an annotation table, it is what a dict in memory says it is."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run
from psycopg import sql

from matengine.engine.annotations import bulk, rows, tables
from matengine.engine.annotations.report import Rejected
from matengine.errors import Conflict, Invalid, NotFound
from matengine.storage.connections import Connection
from matengine.testing.annotations import MemoryTable

coordinate = st.floats(-1e6, 1e6).map(lambda x: x + 0.0)  # -0.0 and 0.0 compare alike anyway
point = st.tuples(coordinate, coordinate, coordinate).map(list)
values = st.fixed_dictionaries(
    {"pt_position": point, "volume": st.none() | coordinate, "bb_start_position": st.none() | point}
)
partial = st.fixed_dictionaries(
    {},
    optional={
        "pt_position": point,
        "volume": st.none() | coordinate,
        "bb_start_position": st.none() | point,
    },
)
some_ids = st.lists(st.integers(0, 40), min_size=1, max_size=4)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The client's form of some columns."""
    row: dict[str, Any] = {}
    for name, value in flat.items():
        if name.endswith("_position"):
            row[name.removesuffix("_position")] = None if value is None else {"position": value}
        else:
            row[name] = value
    return row


class AnnotationMachine(RuleBasedStateMachine):
    conn: Connection
    numbers: Iterator[int]

    def __init__(self) -> None:
        super().__init__()
        self.table = f"nuclei_{next(self.numbers)}"
        tables.create_table(
            self.conn,
            self.table,
            "nucleus_detection",
            voxel_resolution_nm=(1, 1, 1),
            description="",
        )
        self.conn.commit()
        self.oracle = MemoryTable()

    def created(self, row_id: int) -> datetime:
        time: datetime = rows.get(self.conn, self.table, [row_id])[0]["created"]
        return time

    @rule(given=st.lists(st.tuples(st.none() | st.integers(0, 40), values), max_size=4))
    def insert(self, given: list[tuple[int | None, dict[str, Any]]]) -> None:
        sent = [nested(v) | ({} if i is None else {"id": i}) for i, v in given]
        wanted = [i for i, _ in given if i is not None]
        if len(set(wanted)) < len(wanted):
            with pytest.raises(Invalid, match="more than once"):
                rows.insert(self.conn, self.table, sent)
        elif set(wanted) & self.oracle.rows.keys():
            with pytest.raises(Conflict, match="has already rows"):
                rows.insert(self.conn, self.table, sent)
        else:
            new = rows.insert(self.conn, self.table, sent)
            assert [n for n, (i, _) in zip(new, given, strict=True) if i is not None] == wanted
            assert not set(new) & self.oracle.rows.keys()
            if new:
                pairs = zip(new, given, strict=True)
                self.oracle.insert({n: v for n, (_, v) in pairs}, self.created(new[0]))

    @rule(given=st.lists(st.tuples(st.integers(0, 40), values), min_size=1, max_size=4))
    def load(self, given: list[tuple[int, dict[str, Any]]]) -> None:
        wanted = [i for i, _ in given]
        source = {"id": wanted} | {n: [v[n] for _, v in given] for n in given[0][1]}
        if len(set(wanted)) < len(wanted) or set(wanted) & self.oracle.rows.keys():
            with pytest.raises(Rejected, match="id"):
                bulk.load(self.conn, self.table, source)
        else:
            bulk.load(self.conn, self.table, source)
            self.oracle.insert(dict(given), self.created(wanted[0]))

    @rule(ids=some_ids, changes=st.lists(partial, min_size=4, max_size=4))
    def update(self, ids: list[int], changes: list[dict[str, Any]]) -> None:
        sent = [nested(c) | {"id": i} for i, c in zip(ids, changes, strict=False)]
        if len(set(ids)) < len(ids):
            with pytest.raises(Invalid, match="more than once"):
                rows.update(self.conn, self.table, sent)
        elif set(ids) - self.oracle.rows.keys():
            with pytest.raises(NotFound):
                rows.update(self.conn, self.table, sent)
        elif not all(self.oracle.can_update(i) for i in ids):
            first = next(i for i in ids if not self.oracle.can_update(i))
            newest = self.oracle.newest(first)
            superseded = self.oracle.rows[first].superceded_id is not None
            reason = f"newest id is {newest}" if superseded else "was deleted"
            with pytest.raises(Conflict, match=reason):
                rows.update(self.conn, self.table, sent)
        else:
            new = rows.update(self.conn, self.table, sent)
            assert list(new) == ids
            at = self.created(new[ids[0]])
            self.oracle.update(dict(zip(ids, changes, strict=False)), new, at)

    @rule(ids=some_ids)
    def delete(self, ids: list[int]) -> None:
        if not set(ids) & self.oracle.rows.keys():
            with pytest.raises(NotFound):
                rows.delete(self.conn, self.table, ids)
            return
        ended = rows.delete(self.conn, self.table, ids)
        assert ended == self.oracle.ended_by(ids)
        if ended:
            at = rows.get(self.conn, self.table, ended[:1])[0]["deleted"]
            self.oracle.delete(ids, at)

    @rule(new=values)
    def roll_back(self, new: dict[str, Any]) -> None:
        self.conn.commit()
        rows.insert(self.conn, self.table, [nested(new)])
        alive = [i for i in self.oracle.rows if self.oracle.can_update(i)]
        if alive:
            rows.update(self.conn, self.table, [{"id": alive[0], "volume": 1}])
            rows.delete(self.conn, self.table, alive[1:])
        self.conn.rollback()

    @rule()
    def commit(self) -> None:
        self.conn.commit()

    @invariant()
    def same_rows(self) -> None:
        found = rows.get(self.conn, self.table, sorted(self.oracle.rows))
        wanted = [
            {
                "id": i,
                "created": row.created,
                "deleted": row.deleted,
                "superceded_id": row.superceded_id,
                "valid": row.deleted is None,
                "bb_end_position": None,
                **row.values,
            }
            for i, row in sorted(self.oracle.rows.items())
        ]
        assert found == wanted
        assert rows.count(self.conn, self.table, ended=True) == len(wanted)
        assert rows.count(self.conn, self.table) == sum(row["valid"] for row in wanted)

    @invariant()
    def same_lives(self) -> None:
        times = {t for r in self.oracle.rows.values() for t in (r.created, r.deleted) if t}
        tick = timedelta(microseconds=1)
        for time in sorted(times)[-4:]:
            for at in (time - tick, time, time + tick):
                query = sql.SQL(
                    "SELECT id FROM {} WHERE created <= %(at)s"
                    " AND (deleted IS NULL OR deleted > %(at)s)"
                ).format(sql.Identifier(self.table))
                found = {i for (i,) in self.conn.execute(query, {"at": at})}
                assert found == set(self.oracle.alive(at))

    @invariant()
    def every_change_is_queued_once(self) -> None:
        for kind, wanted in (
            ("insert", {i: r.created for i, r in self.oracle.rows.items()}),
            ("delete", {i: r.deleted for i, r in self.oracle.rows.items() if r.deleted}),
        ):
            queued = self.conn.execute(
                "SELECT first_id, last_id, due FROM matengine.change"
                " WHERE table_name = %s AND kind = %s",
                (self.table, kind),
            ).fetchall()
            found = [(i, due) for first, last, due in queued for i in range(first, last + 1)]
            assert sorted(found) == sorted(wanted.items())

    @invariant()
    def ended_rows_are_never_alive_beside_their_successors(self) -> None:
        for row in self.oracle.rows.values():
            if row.superceded_id is not None:
                assert row.deleted == self.oracle.rows[row.superceded_id].created

    @precondition(lambda self: not self.oracle.rows)
    @rule()
    def empty_calls(self) -> None:
        assert rows.insert(self.conn, self.table, []) == []
        assert rows.update(self.conn, self.table, []) == {}
        assert rows.delete(self.conn, self.table, []) == []

    def teardown(self) -> None:
        self.conn.rollback()


@pytest.mark.timeout(600)
def test_annotations(conn: Connection) -> None:
    conn.execute("INSERT INTO matengine.segmentation (name) VALUES ('s')")
    conn.execute("INSERT INTO matengine.datastack (name, segmentation) VALUES ('d', 's')")
    conn.commit()
    AnnotationMachine.conn = conn
    AnnotationMachine.numbers = count()
    run(
        AnnotationMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
