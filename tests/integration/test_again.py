"""What a live question found out of names is used again until something that decides it changes."""

import pytest
from small_world import Pair, write_volume

from matengine.engine.annotations import tables
from matengine.engine.query import answer, sources
from matengine.engine.query.model import Filter, Op, Query, Roots
from matengine.errors import Invalid, NotFound
from matengine.storage.connections import Connection


def test_names_are_looked_into_again_only_where_something_has_changed(
    conn: Connection, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(conn, write_volume(tmp_path_factory.mktemp("volume")))
    pair.insert([(1, 2, 2), (5, 6, 2), (1, 1, 1)], 1.5)
    pair.epoch()
    looked = 0
    resolved = sources._resolved

    def counted(*asked: object) -> sources.Sources:
        nonlocal looked
        looked += 1
        return resolved(*asked)

    monkeypatch.setattr(sources, "_resolved", counted)

    def next_millisecond() -> None:
        """Moments are whole ones: what happened in this one is not of it yet."""
        conn.execute("SELECT pg_sleep(0.001)")
        conn.commit()

    def looks() -> int:
        """Of the last of some questions."""
        nonlocal looked
        for _ in range(3):
            looked = 0
            pair.judge_live(pair.clock())
        return looked

    def first_looks() -> int:
        nonlocal looked
        next_millisecond()
        looked = 0
        answer.ask(conn, pair.name, pair.clock(), Query(pair.table))
        conn.commit()
        return looked

    assert looks() == 0
    for change in (
        lambda: pair.insert([(4, 5, 6), (7, 8, 9), (1, 1, 1)], None),
        lambda: pair.merge(3, 40),
        lambda: pair.delete(0),
        pair.epoch,
    ):
        change()
        assert first_looks() == 1
        assert looks() == 0
    tables.update_metadata(conn, pair.table, description="other")
    conn.commit()
    assert first_looks() == 1
    tables.delete_table(conn, pair.notes)
    tables.delete_table(conn, pair.table)
    conn.commit()
    next_millisecond()
    with pytest.raises(NotFound, match="was deleted"):
        answer.ask(conn, pair.name, pair.clock(), Query(pair.table))


def test_a_root_that_an_edit_ends_is_known_to_live_no_more(
    conn: Connection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pair = Pair(conn, write_volume(tmp_path_factory.mktemp("volume")))
    pair.insert([(1, 2, 2), (5, 6, 2), (1, 1, 1)], 1.5)
    pair.epoch()
    whole = answer.ask(conn, pair.name, pair.clock(), Query(pair.table))
    root = whole["pre_pt_root_id"][0].as_py()
    of_root = (Filter(pair.table, "pre_pt_root_id", Op.EQUAL, root),)
    query = Query(pair.table, filters=of_root, roots=Roots.REFUSED)

    def ask() -> int:
        conn.execute("SELECT pg_sleep(0.001)")
        conn.commit()
        return answer.ask(conn, pair.name, pair.clock(), query).num_rows

    assert [ask() for _ in range(4)] == [1] * 4
    under = pair.supervoxels.index(int(pair.voxels[1, 2, 2]))
    pair.merge(under, under + 40)
    with pytest.raises(Invalid, match=f"{root} is not of this time"):
        ask()
