"""The freeze is physical: what is sealed refuses each kind of write, by whomever."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from story import Story, story

from matengine.engine.runs import engine, runs
from matengine.engine.versions import layout
from matengine.storage.connections import Connection

Refused = psycopg.errors.ObjectNotInPrerequisiteState


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story, with its epoch 4 open."""
    with story(server_url, tmp_path_factory.mktemp("volume")) as made:
        engine.advance(made.conn, made.pair.begin())
        yield made


@pytest.fixture
def conn(told: Story) -> Iterator[Connection]:
    """A connection whose writes are taken back."""
    with told.connect() as connection:
        yield connection
        connection.rollback()


def run(conn: Connection, told: Story, statement: str) -> int:
    """Rows that a statement touched; {h} is the synapses' history, {ds} the datastack."""
    live = f"to_epoch = {layout.OPEN}"
    text = statement.format(h=told.history, ds=f"'{told.pair.name}'", live=live)
    return conn.execute(text.encode()).rowcount


def copy(from_epoch: int, to_epoch: int = layout.OPEN) -> str:
    """Synapse 1 once more, as from and to other epochs."""
    epochs = f"jsonb_build_object('from_epoch', {from_epoch}, 'to_epoch', {to_epoch})"
    row = f"(jsonb_populate_record(h, {epochs})).*"
    return f"INSERT INTO {{h}} SELECT {row} FROM {{h}} AS h WHERE h.id = 1 LIMIT 1"  # noqa: S608 - numbers


HISTORY = {
    "a row that begins in a sealed epoch": copy(3),
    "a row that begins in the first epoch": copy(1),
    "a row that begins before all epochs": copy(0),
    "a row that begins in an epoch to come": copy(5),
    "a tombstone in a sealed epoch": copy(3, 3),
    "a row that ends before it begins": copy(4, 2),
    "closing in the newest epoch": "UPDATE {h} SET to_epoch = 3 WHERE id = 1 AND {live}",
    "closing in an earlier epoch": "UPDATE {h} SET to_epoch = 2 WHERE id = 1 AND {live}",
    "closing in an epoch to come": "UPDATE {h} SET to_epoch = 5 WHERE id = 1 AND {live}",
    "reopening": "UPDATE {h} SET to_epoch = 2147483647 WHERE id = 2",
    "reopening a tombstone": (
        "UPDATE {h} SET to_epoch = 2147483647 WHERE id = 2 AND from_epoch = to_epoch"
    ),
    "moving the end to the open epoch": "UPDATE {h} SET to_epoch = 4 WHERE id = 2",
    "moving the end to a sealed epoch": "UPDATE {h} SET to_epoch = 3 WHERE id = 2",
    "closing one row well and one badly": (
        "UPDATE {h} SET to_epoch = CASE id WHEN 1 THEN 4 ELSE 3 END WHERE id IN (1, 5) AND {live}"
    ),
    "moving the beginning": "UPDATE {h} SET from_epoch = 4 WHERE id = 1 AND {live}",
    "renaming a row": "UPDATE {h} SET id = 99 WHERE id = 1 AND {live}",
    "changing a root": "UPDATE {h} SET pre_pt_root_id = 7 WHERE id = 1 AND {live}",
    "changing a supervoxel": "UPDATE {h} SET post_pt_supervoxel_id = 7 WHERE id = 1 AND {live}",
    "changing a value": "UPDATE {h} SET size = 7 WHERE id = 1 AND {live}",
    "changing a point": "UPDATE {h} SET ctr_pt_position = pre_pt_position WHERE id = 1 AND {live}",
    "changing a time": "UPDATE {h} SET created = now() WHERE id = 1 AND {live}",
    "changing a root while closing": (
        "UPDATE {h} SET to_epoch = 4, pre_pt_root_id = 7 WHERE id = 1 AND {live}"
    ),
    "deleting a row of all versions": "DELETE FROM {h} WHERE id = 1",
    "deleting a row that ended": "DELETE FROM {h} WHERE id = 2 AND from_epoch = 1",
    "deleting a row that only an epoch without a version began": (
        "DELETE FROM {h} WHERE id = 4 AND from_epoch < to_epoch"
    ),
    "deleting a tombstone": "DELETE FROM {h} WHERE id = 2 AND from_epoch = to_epoch",
    "deleting everything": "DELETE FROM {h}",
    "truncating": "TRUNCATE {h}",
    "merging in a row": (
        "MERGE INTO {h} AS h USING (VALUES (1)) AS v (id) ON h.id = v.id WHEN MATCHED THEN DELETE"
    ),
}

CATALOGUE = {
    "unsealing an epoch": "UPDATE matengine.epoch SET sealed = NULL WHERE epoch = 3",
    "another time": "UPDATE matengine.epoch SET time = now() WHERE epoch = 2",
    "another number": "UPDATE matengine.epoch SET epoch = 9 WHERE epoch = 2",
    "another time of sealing": "UPDATE matengine.epoch SET sealed = now() WHERE epoch = 2",
    "removing an epoch": "DELETE FROM matengine.epoch WHERE epoch = 2",
    "an epoch before those sealed": (
        "INSERT INTO matengine.epoch VALUES ({ds}, 0, now() + interval '1 day', now())"
    ),
    "an epoch of an earlier time": (
        "INSERT INTO matengine.epoch VALUES ({ds}, 9, '2026-01-01', now())"
    ),
    "collecting the newest epoch": "UPDATE matengine.epoch SET collected = now() WHERE epoch = 3",
    "collecting an epoch with a version": (
        "UPDATE matengine.epoch SET collected = now() WHERE epoch = 1"
    ),
    "another count": "UPDATE matengine.epoch_table SET row_count = 1 WHERE epoch = 1",
    "another fingerprint": "UPDATE matengine.epoch_table SET fingerprint = 1 WHERE epoch = 3",
    "a line moved to another epoch": "UPDATE matengine.epoch_table SET epoch = 5 WHERE epoch = 3",
    "a line moved out of the open epoch": (
        "UPDATE matengine.epoch_table SET epoch = 0 WHERE epoch = 4"
    ),
    "a line more": (
        "INSERT INTO matengine.epoch_table SELECT datastack, epoch, 'more', schema_type, 0, 0, 0,"
        " 0, 0 FROM matengine.epoch_table WHERE epoch = 1 LIMIT 1"
    ),
    "a line less": "DELETE FROM matengine.epoch_table WHERE epoch = 1",
    "another epoch for a version": "UPDATE matengine.version SET epoch = 3 WHERE version = 1",
    "another number for a version": "UPDATE matengine.version SET version = 9 WHERE version = 1",
    "another beginning of a version": "UPDATE matengine.version SET created = now()",
    "a version that is made anew": (
        "UPDATE matengine.version SET status = 'RUNNING' WHERE version = 1"
    ),
    "a version that fails afterwards": (
        "UPDATE matengine.version SET status = 'FAILED' WHERE version = 1"
    ),
    "a version before its epoch is sealed": (
        "UPDATE matengine.version SET status = 'AVAILABLE' WHERE version = 3"
    ),
    "expiring a pinned version": (
        "UPDATE matengine.version SET pinned = true, status = 'EXPIRED' WHERE version = 1"
    ),
    "removing a version": "DELETE FROM matengine.version WHERE version = 1",
    "truncating epochs": "TRUNCATE matengine.epoch CASCADE",
    "truncating lines": "TRUNCATE matengine.epoch_table",
    "truncating versions": "TRUNCATE matengine.version",
}


@pytest.mark.parametrize("attempt", HISTORY)
def test_history_refuses(told: Story, conn: Connection, attempt: str) -> None:
    with pytest.raises(Refused):
        run(conn, told, HISTORY[attempt])


def test_no_column_but_to_epoch_can_be_set(told: Story, conn: Connection) -> None:
    rows = conn.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
        (told.history,),
    ).fetchall()
    columns = [name for (name,) in rows if name != "to_epoch"]
    assert {"id", "created", "from_epoch", "size", "pre_pt_root_id"} < set(columns)
    for name in columns:
        with pytest.raises(Refused, match="only to_epoch"), conn.transaction():
            conn.execute(
                sql.SQL("UPDATE {h} SET {c} = {c} WHERE to_epoch = {open}").format(
                    h=layout.layout_of(conn, told.pair.table, told.pair.name).history,
                    c=sql.Identifier(name),
                    open=layout.OPEN,
                )
            )


@pytest.mark.parametrize("attempt", CATALOGUE)
def test_the_catalogue_refuses(told: Story, conn: Connection, attempt: str) -> None:
    with pytest.raises(Refused):
        run(conn, told, CATALOGUE[attempt])


@pytest.mark.parametrize("attempt", [*HISTORY, *CATALOGUE])
def test_without_guards_the_attempts_write(told: Story, conn: Connection, attempt: str) -> None:
    """Each attempt is one that would change something, were there no guards."""
    statement = (HISTORY | CATALOGUE)[attempt]
    if statement.startswith("TRUNCATE"):
        return  # changes whatever it is let at
    conn.execute("SET LOCAL session_replication_role = replica")
    if "sealed = NULL" in statement:  # two open epochs are refused by an index
        conn.execute("DELETE FROM matengine.epoch WHERE sealed IS NULL")
    assert run(conn, told, statement) > 0


@pytest.mark.parametrize("table", ["notes", "cells"])
def test_every_table_is_guarded(told: Story, conn: Connection, table: str) -> None:
    name = told.pair.notes if table == "notes" else "cells"
    for statement in ("DELETE FROM {h}", "TRUNCATE {h}", "UPDATE {h} SET to_epoch = 1"):
        with pytest.raises(Refused), conn.transaction():
            conn.execute(statement.format(h=told.history_of(name)).encode())


def test_the_refusal_says_which_row_and_why(told: Story, conn: Connection) -> None:
    with pytest.raises(Refused, match=r"row 1 ends in epoch 2, but only epoch 4 is open"):
        run(conn, told, HISTORY["closing in an earlier epoch"])
    conn.rollback()
    with pytest.raises(Refused, match=r"row 1 is part of epoch \d, which is sealed and kept"):
        run(conn, told, HISTORY["deleting a row of all versions"])
    conn.rollback()
    with pytest.raises(Refused, match=r"UPDATE of history\..*: only to_epoch of a row version"):
        run(conn, told, HISTORY["changing a root"])


ALLOWED = [
    "UPDATE {h} SET to_epoch = 4 WHERE id = 1 AND {live}",
    copy(4, 4),
    copy(4),
    "UPDATE {h} SET to_epoch = 2147483647 WHERE to_epoch = 4 AND from_epoch < 4",
    "DELETE FROM {h} WHERE from_epoch = 4",
    "UPDATE matengine.version SET pinned = true, note = 'paper', expires_on = now()",
    "UPDATE matengine.version SET pinned = false",
    "UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1",
    "UPDATE matengine.version SET status = 'AVAILABLE' WHERE version = 1",
    "UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1",
    "UPDATE matengine.epoch SET collected = now() WHERE epoch = 1",
    "DELETE FROM {h} WHERE to_epoch <= 2",
]


def test_what_the_engine_does_is_allowed(told: Story, conn: Connection) -> None:
    for statement in ALLOWED:
        assert run(conn, told, statement) > 0, statement


def test_a_collected_epoch_stays_so(told: Story, conn: Connection) -> None:
    for statement in ALLOWED[-3:]:
        run(conn, told, statement)
    for statement in (
        "UPDATE matengine.version SET status = 'AVAILABLE' WHERE version = 1",
        "UPDATE matengine.epoch SET collected = NULL WHERE epoch = 1",
        "DELETE FROM {h} WHERE id = 1",
    ):
        with pytest.raises(Refused), conn.transaction():
            run(conn, told, statement)


def test_rows_between_kept_epochs_may_go(told: Story, conn: Connection) -> None:
    """Those that only collected epochs showed; but not the tombstones between kept epochs."""
    run(conn, told, "UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 2")
    run(conn, told, "UPDATE matengine.epoch SET collected = now() WHERE epoch = 2")
    kept = "SELECT count(*) FROM {h} WHERE from_epoch = 2 AND to_epoch = 2"
    tombstones = conn.execute(kept.format(h=told.history).encode()).fetchone()
    assert tombstones is not None
    assert tombstones[0] > 0
    with pytest.raises(Refused), conn.transaction():
        run(conn, told, "DELETE FROM {h} WHERE from_epoch = 2 AND to_epoch <= 3")
    run(conn, told, "DELETE FROM {h} WHERE from_epoch = 2 AND to_epoch = 3")


def test_nothing_is_written_while_no_epoch_is_open(told: Story, conn: Connection) -> None:
    conn.execute("SET LOCAL session_replication_role = replica")
    conn.execute("DELETE FROM matengine.epoch WHERE sealed IS NULL")
    conn.execute("SET LOCAL session_replication_role = origin")
    for statement in (
        copy(4),
        "UPDATE {h} SET to_epoch = 4 WHERE id = 1 AND {live}",
    ):
        with pytest.raises(Refused, match="no epoch is open"), conn.transaction():
            run(conn, told, statement)


def test_one_epoch_is_open_at_most(told: Story, conn: Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(conn, told, "INSERT INTO matengine.epoch VALUES ({ds}, 5, now() + interval '1 day')")


def test_sealing_waits_for_whoever_writes(told: Story, conn: Connection) -> None:
    """No write that began while the epoch was open is committed after it was sealed."""
    run(conn, told, copy(4))
    seal = "UPDATE matengine.epoch SET sealed = now() WHERE epoch = 4"
    with told.connect() as other:
        other.execute("SET LOCAL lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(seal)
        other.rollback()


def test_a_write_that_waited_for_sealing_is_refused(told: Story, conn: Connection) -> None:
    seen: list[BaseException] = []

    def write() -> None:
        with told.connect() as other:
            try:
                run(other, told, copy(4))
            except psycopg.Error as error:
                seen.append(error)
            other.rollback()

    conn.execute("UPDATE matengine.epoch SET sealed = now() WHERE epoch = 4")
    writer = threading.Thread(target=write)
    writer.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with told.connect() as watch:
        while watch.execute(waiting).fetchone() == (0,) and writer.is_alive():
            watch.rollback()
    # what matters is that it is sealed when the writer goes on; it is opened again below
    conn.commit()
    writer.join()
    try:
        assert [type(error) for error in seen] == [Refused]
    finally:
        conn.execute("SET session_replication_role = replica")
        conn.execute("UPDATE matengine.epoch SET sealed = NULL WHERE epoch = 4")
        conn.commit()


def test_an_epoch_can_be_undone_and_made_again(told: Story, conn: Connection) -> None:
    """Last in this file: it ends the open epoch."""
    pair = told.pair
    run(conn, told, "UPDATE {h} SET to_epoch = 4 WHERE id = 1 AND {live}")
    run(conn, told, copy(4))
    conn.commit()
    pair.insert([(7, 7, 7), (7, 7, 6), (7, 6, 7)], 2.0)
    (run_id,) = [r.run_id for r in runs.listed(conn, pair.name, 10) if r.status == "running"]
    conn.rollback()
    engine.cancel(pair.conn, run_id)
    pair.epoch()
    for version, (_, frozen) in pair.versions.items():
        assert pair._frozen(version) == frozen
