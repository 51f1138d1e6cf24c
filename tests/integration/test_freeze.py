"""A frozen version is a name for what the last epoch brought to date."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from small_world import Pair, write_volume
from steps import work_until

from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.runs import engine, runs
from matengine.engine.versions import catalogue, freeze
from matengine.errors import Conflict, NotFound
from matengine.storage.connections import Connection, conninfo_of


@pytest.fixture
def pair(conn: Connection, tmp_path: Path) -> Pair:
    pair = Pair(conn, write_volume(tmp_path / "volume"))
    pair.insert([(1, 2, 2), (5, 6, 2), (1, 1, 1)], 1.0)
    return pair


def rows_of(pair: Pair, version: int) -> Any:
    return answer.ask(pair.conn, pair.name, version, Query(pair.table))


def statements_run(pair: Pair) -> int:
    """Changes of rows by this database so far, of the catalogue's tables and of all others."""
    pair.conn.execute("SELECT pg_stat_force_next_flush()")
    pair.conn.commit()
    (count,) = pair.conn.execute(
        "SELECT sum(n_tup_ins + n_tup_upd) FROM pg_stat_all_tables WHERE schemaname = 'history'"
    ).fetchone() or (0,)
    return int(count)


def test_an_epoch_without_a_version_gets_one(pair: Pair) -> None:
    pair.epoch(publish=False)
    pair.insert([(2, 2, 2), (5, 6, 2), (1, 1, 1)], 1.0)  # for the next epoch
    before = statements_run(pair)
    expires = datetime(2099, 1, 1, tzinfo=UTC)
    frozen = freeze.create_frozen(pair.conn, pair.name, expires_on=expires, note="at once")
    assert frozen == freeze.Frozen(1)
    found = catalogue.version(pair.conn, pair.name, 1)
    assert (found.epoch, found.status, found.expires_on, found.note) == (
        1,
        "AVAILABLE",
        expires,
        "at once",
    )
    assert rows_of(pair, 1)["id"].to_pylist() == [1]
    view = sql.SQL("SELECT id FROM {}").format(sql.Identifier(f"{pair.name}__mat1", pair.table))
    assert pair.conn.execute(view).fetchall() == [(1,)]
    assert statements_run(pair) == before


def test_several_versions_name_one_epoch(pair: Pair) -> None:
    pair.epoch()
    assert freeze.create_frozen(pair.conn, pair.name) == freeze.Frozen(2)
    assert rows_of(pair, 2) == rows_of(pair, 1)
    pair.merge(0, 40)
    pair.epoch()
    pair.check_versions()
    assert rows_of(pair, 2) == rows_of(pair, 1)


def test_without_an_epoch_a_run_makes_one(pair: Pair) -> None:
    frozen = freeze.create_frozen(pair.conn, pair.name, note="the first")
    assert frozen.run_id is not None
    with pytest.raises(Conflict, match="Another run"):
        freeze.create_frozen(pair.conn, pair.name)
    engine.drive(conninfo_of(pair.conn), frozen.run_id)
    pair.finish(frozen.run_id)
    assert catalogue.version(pair.conn, pair.name, frozen.version).note == "the first"
    assert freeze.create_frozen(pair.conn, pair.name) == freeze.Frozen(2)


def test_while_an_epoch_is_made_the_last_one_is_frozen(pair: Pair) -> None:
    pair.epoch()
    pair.insert([(2, 2, 2), (5, 6, 2), (1, 1, 1)], 1.0)
    run_id = pair.begin()
    work_until(pair.conn, run_id, "index")
    assert runs.get(pair.conn, run_id).version == 2
    assert freeze.create_frozen(pair.conn, pair.name) == freeze.Frozen(3)
    assert rows_of(pair, 3) == rows_of(pair, 1)
    engine.drive(conninfo_of(pair.conn), run_id)
    pair.finish(run_id)
    assert rows_of(pair, 3) == rows_of(pair, 1)
    assert catalogue.newest(pair.conn, pair.name).version == 2


def test_numbers_are_given_once(pair: Pair, av: Any) -> None:
    pair.epoch()
    barrier, made = threading.Barrier(5), []

    def one() -> None:
        with av.connect() as conn:
            barrier.wait()
            made.append(freeze.create_frozen(conn, pair.name).version)

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [2, 3, 4, 5, 6]


def test_an_unknown_datastack(pair: Pair) -> None:
    with pytest.raises(NotFound, match="There is no datastack"):
        freeze.create_frozen(pair.conn, "nobody")
