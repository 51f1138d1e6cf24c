"""Verifying finds every flipped bit of a version, and nothing where nothing was flipped."""

import math
import random
import struct
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from story import CELLS, Story, story

from matengine.engine.versions import layout
from matengine.engine.versions import verify as verifying
from matengine.engine.versions.layout import Layout
from matengine.engine.versions.verify import Checked, verify
from matengine.errors import Gone, NotFound
from matengine.storage.connections import Connection

POINT = "geometry(PointZ)"


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


@pytest.fixture
def conn(told: Story) -> Iterator[Connection]:
    """A connection that no guard stops."""
    with told.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.commit()
        yield connection


def judged(told: Story, version: int) -> list[Checked]:
    return verify(told.conn, told.pair.name, version)


def all_right(told: Story) -> bool:
    return all(table.right for version in (1, 2) for table in judged(told, version))


def test_untouched_versions_are_right(told: Story) -> None:
    for version in (1, 2):
        tables = judged(told, version)
        assert [t.table for t in tables] == sorted([CELLS, told.pair.table, told.pair.notes])
        assert all(t.right and not t.words for t in tables)
        frozen = told.pair.versions[version][1]
        for table in tables:
            if table.table in frozen:
                assert table.found.row_count == frozen[table.table].num_rows > 0


def flips(value: Any, sql_type: str) -> list[Any]:
    """The value with one bit another: the lowest, the highest, some between, and NULL."""
    other = [None] if value is not None else []
    if value is None:
        return [{"varchar": "", "boolean": False, POINT: (0.0, 0.0, 0.0)}.get(sql_type, 0)]
    if sql_type == "bigint":
        return other + [_signed(value ^ (1 << bit), 64) for bit in (0, 31, 63)]
    if sql_type == "integer":
        return other + [_signed(value ^ (1 << bit), 32) for bit in (0, 1, 2, 8, 16, 30, 31)]
    if sql_type == "double precision":
        return other + _floats(value)
    if sql_type == "boolean":
        return [*other, not value]
    if sql_type == "varchar":
        told = value.encode()
        changed = [told[:i] + bytes([told[i] ^ 1]) + told[i + 1 :] for i in range(len(told))]
        words = [c.decode() for c in changed if _is_text(c)]
        return [*other, *words, value + " ", value[:-1] if value else "\t"]
    assert sql_type == POINT
    return other + [
        (*value[:axis], flipped, *value[axis + 1 :])
        for axis in range(3)
        for flipped in _floats(value[axis])
    ]


def _is_text(told: bytes) -> bool:
    try:
        return bool(told.decode())
    except UnicodeDecodeError:
        return False


def _signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


def _floats(value: float) -> list[float]:
    (number,) = struct.unpack("<Q", struct.pack("<d", value))
    found = [struct.unpack("<d", struct.pack("<Q", number ^ (1 << bit)))[0] for bit in (0, 51, 63)]
    return [f for f in found if not math.isnan(f)]


def read(conn: Connection, where: Layout, column: str, sql_type: str, ctid: str) -> Any:
    template = "ARRAY[ST_X({c}), ST_Y({c}), ST_Z({c})]" if sql_type == POINT else "{c}"
    value = sql.SQL(template).format(c=sql.Identifier(column))
    row = conn.execute(
        sql.SQL("SELECT {} FROM {} WHERE ctid = %s").format(value, where.history), (ctid,)
    ).fetchone()
    assert row is not None
    return row[0]


def write(conn: Connection, where: Layout, column: str, ctid: str, value: Any) -> str:
    """Put a value into one row version, whatever the guards say; gives its new place."""
    point = isinstance(value, tuple | list)
    row = conn.execute(
        sql.SQL("UPDATE {h} SET {c} = {v} WHERE ctid = %s RETURNING ctid").format(
            h=where.history,
            c=sql.Identifier(column),
            v=sql.SQL("ST_MakePoint(%s, %s, %s)" if point else "%s"),
        ),
        (*value, ctid) if point else (value, ctid),
    ).fetchone()
    conn.commit()
    assert row is not None
    return str(row[0])


def versions_of_rows(conn: Connection, where: Layout) -> list[str]:
    """The places of a few row versions of different kinds: closed, current, tombstones."""
    rows = conn.execute(
        sql.SQL(
            "SELECT DISTINCT ON (from_epoch, to_epoch) ctid FROM {h} WHERE from_epoch < 3"
            " ORDER BY from_epoch, to_epoch, id"
        ).format(h=where.history)
    ).fetchall()
    return [str(ctid) for (ctid,) in rows]


@pytest.mark.parametrize("table", ["synapses", CELLS])
def test_a_flipped_bit_of_any_column_is_found(told: Story, conn: Connection, table: str) -> None:
    name = told.pair.table if table == "synapses" else table
    where = layout.layout_of(conn, name, told.pair.name)
    columns = {"id": "bigint"} | {c.name: c.sql_type for c in where.columns}
    tried = set()
    for place in versions_of_rows(conn, where):
        tombstone = read(conn, where, "from_epoch", "", place) == read(
            conn, where, "to_epoch", "", place
        )
        for column, sql_type in columns.items():
            if tombstone:
                continue  # no version shows it
            was = read(conn, where, column, sql_type, place)
            for value in flips(was, sql_type):
                if column == "id" and value is None:
                    continue  # the table refuses it
                place = write(conn, where, column, place, value)
                assert not all_right(told), (column, was, value)
                place = write(conn, where, column, place, was)
                tried.add(column)
    assert tried == set(columns)
    assert all_right(told)


@pytest.mark.parametrize("column", ["from_epoch", "to_epoch"])
def test_a_flipped_bit_of_an_epoch_is_found(told: Story, conn: Connection, column: str) -> None:
    where = layout.layout_of(conn, told.pair.table, told.pair.name)
    for place in versions_of_rows(conn, where):
        was = read(conn, where, column, "", place)
        for value in flips(was, "integer")[1:]:
            place = write(conn, where, column, place, value)
            assert not all_right(told), (was, value)
            place = write(conn, where, column, place, was)
    assert all_right(told)


@pytest.mark.parametrize("table", ["synapses", CELLS])
def test_another_microsecond_is_found(told: Story, conn: Connection, table: str) -> None:
    name = told.pair.table if table == "synapses" else table
    where = layout.layout_of(conn, name, told.pair.name)
    move = sql.SQL("UPDATE {h} SET created = created + %s::interval WHERE id = 1").format(
        h=where.history
    )
    for there, back in (("1 microsecond", "-1 microsecond"), ("-1 hour", "1 hour")):
        conn.execute(move, (there,))
        conn.commit()
        assert not all_right(told)
        conn.execute(move, (back,))
        conn.commit()
    assert all_right(told)


def test_rows_lost_doubled_and_added_are_found(told: Story, conn: Connection) -> None:
    where = layout.layout_of(conn, told.pair.table, told.pair.name)
    names = {"h": where.history, "live": layout.visible("h", 2)}
    conn.execute(sql.SQL("CREATE TABLE saved AS SELECT * FROM {h}").format(**names))
    for statement, rows in (
        ("DELETE FROM {h} AS h WHERE id = 1 AND {live}", -1),
        ("INSERT INTO {h} SELECT * FROM {h} AS h WHERE id = 1 AND {live}", 1),
        ("UPDATE {h} AS h SET size = n.size FROM {h} AS n WHERE h.id = 1 AND n.id = 6", 0),
        ("DELETE FROM {h}", -6),
    ):
        conn.execute(sql.SQL(statement).format(**names))
        conn.commit()
        (wrong,) = [t for t in judged(told, 2) if not t.right]
        assert wrong.table == told.pair.table
        assert wrong.found.row_count - wrong.recorded.row_count == rows
        conn.execute(
            sql.SQL("DELETE FROM {h}; INSERT INTO {h} SELECT * FROM saved").format(**names)
        )
        conn.commit()
    conn.execute("DROP TABLE saved")
    conn.commit()
    assert all_right(told)


def test_a_changed_record_is_found(told: Story, conn: Connection) -> None:
    for column, word in (("row_count", "rows"), ("fingerprint", "fingerprint"), ("gaps", "gaps")):
        change = sql.SQL("UPDATE matengine.epoch_table SET {c} = {c} + %s WHERE epoch = 1").format(
            c=sql.Identifier(column)
        )
        conn.execute(change, (1,))
        conn.commit()
        assert all(word in t.words and not t.right for t in judged(told, 1))
        conn.execute(change, (-1,))
        conn.commit()
    assert all_right(told)


def test_a_dropped_history_is_found(told: Story, conn: Connection) -> None:
    where = layout.layout_of(conn, CELLS, told.pair.name)
    aside = sql.SQL("ALTER TABLE {h} RENAME TO aside").format(h=where.history)
    conn.execute(aside)
    conn.commit()
    try:
        (wrong,) = [t for t in judged(told, 1) if not t.right]
        assert "'cells' has 0 rows, not 2" in wrong.words
    finally:
        conn.execute(
            sql.SQL("ALTER TABLE history.aside RENAME TO {n}").format(n=sql.Identifier(where.name))
        )
        conn.commit()


def test_an_epoch_that_moves_rows_meanwhile_does_no_harm(
    told: Story, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that move to later pages, or are written, after the first page was read."""
    where = layout.layout_of(conn, told.pair.table, told.pair.name)
    told.pair.stir(random.Random(3), rows=200)
    told.pair.epoch()
    monkeypatch.setattr(verifying, "PAGES", 1)
    calls = []

    def meanwhile(done: int, total: int | None, what: str) -> None:
        calls.append((done, total))
        if len(calls) == 1:
            told.pair.stir(random.Random(4), rows=50)
            told.pair.epoch()
            moved = sql.SQL("UPDATE {h} SET to_epoch = to_epoch").format(h=where.history)
            conn.execute(moved)
            conn.commit()

    tables = verify(told.conn, told.pair.name, 3, meanwhile)
    assert all(t.right for t in tables)
    assert max(total or 0 for _, total in calls) > 3
    assert all_right(told)


def test_no_history_is_put_in_place_of_another_meanwhile(told: Story, conn: Connection) -> None:
    """Its rows are of later transactions than the snapshot, which would not see them."""
    refused = []

    def meanwhile(done: int, total: int | None, what: str) -> None:
        for table in (told.pair.table, told.pair.notes, CELLS):
            where = layout.layout_of(conn, table, told.pair.name)
            conn.execute("SET LOCAL lock_timeout TO '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                conn.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(where.history)
                )
            conn.rollback()
            refused.append(table)

    assert all(t.right for t in verify(told.conn, told.pair.name, 1, meanwhile))
    assert len(refused) == 9


def test_versions_that_are_not_there(told: Story) -> None:
    with pytest.raises(NotFound):
        judged(told, 99)
    told.conn.execute("UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1")
    told.conn.commit()
    with pytest.raises(Gone):
        judged(told, 1)
    told.conn.execute("UPDATE matengine.version SET status = 'AVAILABLE' WHERE version = 1")
    told.conn.commit()
