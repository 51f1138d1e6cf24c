"""The history of one row, and the lineage of roots, by the story's facts."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from psycopg import sql
from story import CELLS, Story, story

from matengine.engine.annotations import rows
from matengine.engine.query.row_history import row_history
from matengine.engine.runs import engine
from matengine.engine.versions import layout
from matengine.errors import NotFound


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


def test_every_version_is_told_as_it_is(told: Story) -> None:
    """For each row and version: the row version that names it has the version's ids."""
    pair = told.pair
    for version, (_, frozen) in pair.versions.items():
        there = {row["id"]: row for row in frozen[pair.table].to_pylist()}
        for row_id in range(1, 9):
            found = row_history(told.conn, pair.name, pair.table, row_id)
            named = [shown for shown in found.shown if version in shown.versions]
            if row_id not in there:
                assert named == []
                continue
            (shown,) = named
            assert {c: i or 0 for c, i in shown.ids.items()} == {
                c: there[row_id][c] for c in shown.ids
            }
            assert len(shown.ids) == 4


def test_intervals_follow_each_other(told: Story) -> None:
    changed = 0
    for row_id in range(1, 9):
        shown = row_history(told.conn, told.pair.name, told.pair.table, row_id).shown
        for one, next_one in pairwise(shown):
            assert one.to_epoch == next_one.from_epoch
            assert one.to_time == next_one.from_time
            assert one.ids != next_one.ids
            changed += 1
        assert all(one.from_time < (one.to_time or one.from_time.max) for one in shown[:-1])
    assert changed


def test_times_are_those_of_the_epochs(told: Story) -> None:
    (first,) = row_history(told.conn, told.pair.name, told.pair.table, 2).shown
    assert first.from_time == told.pair.versions[1][0]
    assert first.to_time == told.pair.versions[2][0]
    assert (first.from_epoch, first.to_epoch, first.versions) == (1, 2, (1,))


def test_a_superseded_row_and_its_successor_have_one_chain(told: Story) -> None:
    old = row_history(told.conn, told.pair.name, told.pair.table, 3)
    new = row_history(told.conn, told.pair.name, told.pair.table, 7)
    assert old.chain == new.chain
    assert [life.id for life in old.chain] == [3, 7]
    assert old.chain[0].next == 7
    assert old.chain[0].deleted == old.chain[1].created
    assert (old.chain[1].deleted, old.chain[1].next) == (None, None)


def test_chains_of_any_length_from_anywhere(told: Story) -> None:
    conn = told.conn
    chain = [2]
    for cell_type in ("NGC", "BPC", "MC"):
        chain += rows.update(conn, CELLS, [{"id": chain[-1], "cell_type": cell_type}]).values()
        conn.commit()
    for row_id in chain:
        found = row_history(conn, told.pair.name, CELLS, row_id)
        assert [life.id for life in found.chain] == chain
        # the new ones wait for an epoch
        assert bool(found.shown) == (row_id == 2)


def test_a_deleted_row_tells_when(told: Story) -> None:
    found = row_history(told.conn, told.pair.name, told.pair.table, 4)
    (life,) = found.chain
    assert life.deleted is not None
    assert life.next is None
    assert found.shown[-1].to_epoch == 3
    assert found.shown[-1].versions == (2,)


def test_a_row_removed_from_the_live_table_keeps_its_history(told: Story) -> None:
    told.conn.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(told.pair.notes)))
    found = row_history(told.conn, told.pair.name, told.pair.notes, 1)
    assert found.chain == ()
    assert [shown.versions for shown in found.shown] == [(1, 2)]
    assert found.shown[0].ids == {}
    told.conn.rollback()


def test_an_expired_version_is_not_named(told: Story) -> None:
    told.conn.execute("UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1")
    (shown,) = row_history(told.conn, told.pair.name, told.pair.table, 2).shown
    assert shown.versions == ()
    told.conn.rollback()


def test_what_an_open_epoch_has_closed_is_open_still(told: Story) -> None:
    before = row_history(told.conn, told.pair.name, told.pair.table, 1)
    run_id = told.pair.begin()
    history = layout.layout_of(told.conn, told.pair.table, told.pair.name).history
    close = sql.SQL("UPDATE {} SET to_epoch = 4 WHERE id = 1 AND to_epoch = %s").format(history)
    assert told.conn.execute(close, (layout.OPEN,)).rowcount == 1
    assert row_history(told.conn, told.pair.name, told.pair.table, 1) == before
    told.conn.rollback()
    engine.cancel(told.conn, run_id)


def test_rows_that_never_were(told: Story) -> None:
    with pytest.raises(NotFound, match="no row of id 99"):
        row_history(told.conn, told.pair.name, told.pair.table, 99)
    with pytest.raises(NotFound):
        row_history(told.conn, told.pair.name, "nothing", 1)
