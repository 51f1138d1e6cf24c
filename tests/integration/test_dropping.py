"""Names, pins, expiry and dropping of versions; what readers see of a version that goes."""

import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from small_world import Pair

from matengine import times
from matengine.engine.annotations import tables
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, dropping, garbage, labels, layout
from matengine.engine.versions.retention import Policy
from matengine.errors import Conflict, Gone, Invalid, NotFound
from matengine.storage.connections import conninfo_of, open_connection

DAY = timedelta(days=1)


def schemas(pair: Pair) -> set[int]:
    """The versions that have an SQL schema."""
    rows = pair.conn.execute(
        "SELECT split_part(nspname, '__mat', 2)::integer FROM pg_namespace WHERE nspname LIKE %s",
        (f"{pair.name}__mat%",),
    )
    return {number for (number,) in rows}


def collect(pair: Pair) -> garbage.Collected:
    return garbage.collect(pair.conn, pair.name, live_horizon=timedelta())


def rows_of(pair: Pair) -> int:
    row = pair.conn.execute(
        sql.SQL("SELECT count(*) FROM {}").format(
            layout.layout_of(pair.conn, pair.table, pair.name).history
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


# names and the like


def test_a_version_is_found_by_number_name_and_as_the_newest(pair: Pair) -> None:
    named = labels.name(pair.conn, pair.name, 2, "v1.0 of the paper")
    for reference in (2, "2", "v1.0 of the paper"):
        assert labels.find(pair.conn, pair.name, reference) == named
    assert labels.find(pair.conn, pair.name, "newest").version == 3
    with pytest.raises(NotFound, match=r"Did you mean 'v1.0 of the paper'"):
        labels.find(pair.conn, pair.name, "v1.0 of a paper")
    with pytest.raises(NotFound, match=r"no version 9.*1, 2, 3"):
        labels.find(pair.conn, pair.name, 9)


@pytest.mark.parametrize("bad", ["", " v1", "v1\n", "7", "newest", "Live", "x" * 101])
def test_what_cannot_be_a_name(pair: Pair, bad: str) -> None:
    with pytest.raises(Invalid):
        labels.name(pair.conn, pair.name, 1, bad)


def test_a_name_belongs_to_one_version_and_stays_with_it(pair: Pair) -> None:
    labels.name(pair.conn, pair.name, 1, "first")
    labels.name(pair.conn, pair.name, 1, "first")
    with pytest.raises(Conflict, match=r"Version 1 .* is called 'first'"):
        labels.name(pair.conn, pair.name, 2, "first")
    dropping.drop(pair.conn, pair.name, "first")
    with pytest.raises(Gone, match="Version 1"):
        labels.find(pair.conn, pair.name, "first")
    with pytest.raises(Conflict):
        labels.name(pair.conn, pair.name, 2, "first")
    labels.name(pair.conn, pair.name, 1, None)
    assert labels.name(pair.conn, pair.name, 2, "first").version == 2


def test_notes_and_expiry(pair: Pair) -> None:
    when = datetime(2031, 1, 1, tzinfo=UTC)
    labels.note(pair.conn, pair.name, 1, "before the merge of the two halves")
    labels.expire_on(pair.conn, pair.name, 1, when)
    told = catalogue.version(pair.conn, pair.name, 1)
    assert (told.note, told.expires_on) == ("before the merge of the two halves", when)
    assert labels.expire_on(pair.conn, pair.name, 1, None).expires_on is None


# dropping


def test_dropping_takes_the_version_and_its_schema(pair: Pair) -> None:
    assert schemas(pair) == {1, 2, 3}
    assert dropping.drop(pair.conn, pair.name, 2).status == "EXPIRED"
    assert schemas(pair) == {1, 3}
    with pytest.raises(Gone):
        dropping.drop(pair.conn, pair.name, 2)
    left = answer.ask(pair.conn, pair.name, 2, Query(pair.table))
    assert left == pair.versions[2][1][pair.table]  # until it is collected
    garbage.collect(pair.conn, pair.name)
    with pytest.raises(Gone, match="collected"):
        answer.plan(pair.conn, pair.name, 2, Query(pair.table))
    del pair.versions[2]
    pair.check_versions()


def test_what_is_not_dropped(pair: Pair) -> None:
    labels.pin(pair.conn, pair.name, 1)
    run_id = pair.begin()
    with pytest.raises(Conflict, match=r"is pinned.*pin 1 --off"):
        dropping.drop(pair.conn, pair.name, 1)
    with pytest.raises(Conflict, match="the newest"):
        dropping.drop(pair.conn, pair.name, 3)
    with pytest.raises(Conflict, match="is being made"):
        dropping.drop(pair.conn, pair.name, 4)
    with pytest.raises(NotFound):
        dropping.drop(pair.conn, pair.name, 5)
    pair.conn.rollback()
    engine.drive(conninfo_of(pair.conn), run_id)
    pair.finish(run_id)
    assert {v.status for v in catalogue.versions(pair.conn, pair.name)} == {"AVAILABLE"}
    labels.pin(pair.conn, pair.name, 1, on=False)
    assert dropping.drop(pair.conn, pair.name, 1).status == "EXPIRED"


def test_versions_go_when_their_time_has_come(pair: Pair) -> None:
    now = times.now()
    for number in (1, 3):
        labels.expire_on(pair.conn, pair.name, number, now)
    assert dropping.expire_due(pair.conn, pair.name, now - DAY) == []
    assert [v.version for v in dropping.expire_due(pair.conn, pair.name, now)] == [1]
    gone = dropping.expire_due(pair.conn, pair.name, now, Policy(keep_unpinned=1))
    assert [v.version for v in gone] == [2]
    assert catalogue.newest(pair.conn, pair.name).version == 3


# what readers see


def test_a_schema_that_is_read_stays_and_so_do_its_rows(pair: Pair) -> None:
    with open_connection(conninfo_of(pair.conn)) as reader:
        view = sql.Identifier(f"{pair.name}__mat1", pair.table)
        before = reader.execute(sql.SQL("SELECT id FROM {}").format(view)).fetchall()
        assert dropping.drop(pair.conn, pair.name, 1).status == "EXPIRED"
        assert schemas(pair) == {1, 2, 3}
        assert 1 not in collect(pair).epochs
        assert reader.execute(sql.SQL("SELECT id FROM {}").format(view)).fetchall() == before
        reader.rollback()
        assert 1 in collect(pair).epochs
    assert schemas(pair) == {2, 3}


def test_no_statement_reads_half_of_a_version_that_goes(pair: Pair) -> None:
    """A question put before the drop is answered in full or not at all."""
    query = answer.plan(pair.conn, pair.name, 1, Query(pair.table)).statement
    with open_connection(conninfo_of(pair.conn)) as early:
        early.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        early.execute("SELECT 1")  # takes the snapshot
        full = pair.conn.execute(query).fetchall()
        pair.conn.commit()
        before = rows_of(pair)
        dropping.drop(pair.conn, pair.name, 1)
        assert collect(pair).tables
        assert rows_of(pair) < before
        assert early.execute(query).fetchall() == full
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="not kept any more"):
        pair.conn.execute(query)
    pair.conn.rollback()


def test_epochs_without_a_version_go_when_they_are_old(pair: Pair) -> None:
    assert garbage.collect(pair.conn, pair.name).epochs == []
    later = times.now() + garbage.LIVE_HORIZON
    assert garbage.collect(pair.conn, pair.name, now=later).epochs == [2]
    pair.check_versions()
    pair.stir(random.Random(5), 1, 1)
    pair.epoch(publish=False)
    assert garbage.collect(pair.conn, pair.name, now=later + DAY).epochs == []  # the newest


def test_collecting_reports_what_went(pair: Pair) -> None:
    dropping.drop(pair.conn, pair.name, 1)
    before = rows_of(pair)
    told = {removed.table: removed for removed in collect(pair).tables}[pair.table]
    assert told.rows == before - rows_of(pair) > 0
    assert told.bytes > 100 * told.rows


def test_a_collection_takes_up_what_an_interrupted_one_left(pair: Pair) -> None:
    dropping.drop(pair.conn, pair.name, 1)

    def die(done: int, total: int | None, what: str) -> None:
        raise KeyboardInterrupt

    before = rows_of(pair)
    with pytest.raises(KeyboardInterrupt):
        garbage.collect(pair.conn, pair.name, live_horizon=timedelta(), batch=1, progress=die)
    pair.conn.rollback()
    middle = rows_of(pair)
    assert before > middle
    assert collect(pair).epochs == []
    assert middle > rows_of(pair)


def test_the_schedule_drops_and_collects(
    pair: Pair, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATENGINE_DATABASE_URL", server_url)
    from matengine.workflows import tasks  # reads the settings

    monkeypatch.setattr(tasks, "aligned_volumes", lambda: [pair.conn.info.dbname])
    labels.expire_on(pair.conn, pair.name, 1, times.now())
    pair.conn.commit()
    before = rows_of(pair)
    pair.conn.commit()
    tasks.expire()
    assert catalogue.newest(pair.conn, pair.name).version == 3
    assert [v.status for v in catalogue.versions(pair.conn, pair.name)] == [
        "EXPIRED",
        "AVAILABLE",
        "AVAILABLE",
    ]
    assert rows_of(pair) < before
    del pair.versions[1]
    pair.check_versions()


def test_the_history_of_a_deleted_table_goes_with_its_last_version(pair: Pair) -> None:
    history = layout.layout_of(pair.conn, pair.notes, pair.name).history.as_string(pair.conn)

    def there() -> bool:
        row = pair.conn.execute("SELECT to_regclass(%s)", (history,)).fetchone()
        return row is not None and row[0] is not None

    tables.delete_table(pair.conn, pair.notes)
    pair.conn.commit()
    engine.drive(conninfo_of(pair.conn), pair.begin())
    collect(pair)
    assert there()
    for number in (1, 2, 3):
        assert there()
        dropping.drop(pair.conn, pair.name, number)
        collect(pair)
    assert not there()
    pair.conn.commit()
