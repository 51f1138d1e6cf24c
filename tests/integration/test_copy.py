"""Rows that go in by binary COPY are the rows that plain INSERTs would have made."""

from datetime import UTC, datetime

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from matengine.errors import Invalid
from matengine.storage import copy
from matengine.storage.connections import Connection

POINT = pa.list_(pa.float64(), 3)
TYPES = {
    "id": ("bigint", pa.int64()),
    "small": ("integer", pa.int32()),
    "number": ("double precision", pa.float64()),
    "single": ("real", pa.float32()),
    "flag": ("boolean", pa.bool_()),
    "tag": ("varchar", pa.string()),
    "created": ("timestamptz", pa.timestamp("us", "UTC")),
    "pt_position": ("geometry(PointZ)", POINT),
    "end_position": ("geometry(PointZ)", POINT),
}
COLUMNS = ", ".join(f"{name} {kind}" for name, (kind, _) in TYPES.items())
# PostgreSQL prints floats so that they read back exactly; -0.0 and NaN show
PRINTED = "SELECT t::text FROM {} t ORDER BY ordinal"

coordinate = st.floats(allow_nan=False, allow_infinity=False)
point = st.tuples(coordinate, coordinate, coordinate).map(list)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
time = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
)
VALUES = {
    "id": st.integers(-(2**63), 2**63 - 1),
    "small": st.integers(-(2**31), 2**31 - 1),
    "number": st.floats(),
    "single": st.floats(width=32),
    "flag": st.booleans(),
    "tag": text,
    "created": time,
    "pt_position": point,
    "end_position": point,
}
row = st.fixed_dictionaries({name: st.none() | value for name, value in VALUES.items()})


@pytest.fixture
def tables(conn: Connection) -> Connection:
    for name in ("by_copy", "by_insert"):
        conn.execute(f"CREATE TEMP TABLE {name} (ordinal serial, {COLUMNS})")
    return conn


def as_table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.table(
        {name: pa.array([r[name] for r in rows], kind) for name, (_, kind) in TYPES.items()}
    )


def insert(conn: Connection, rows: list[dict[str, object]]) -> None:
    marks = ", ".join(
        f"ST_MakePoint(%({n}_x)s, %({n}_y)s, %({n}_z)s)" if kind == POINT else f"%({n})s"
        for n, (_, kind) in TYPES.items()
    )
    for r in rows:
        values = dict(r)
        for name in ("pt_position", "end_position"):
            xyz = r[name] or (None, None, None)
            values |= {f"{name}_{axis}": v for axis, v in zip("xyz", xyz, strict=True)}
        statement = sql.SQL("INSERT INTO by_insert VALUES (DEFAULT, {})").format(sql.SQL(marks))
        conn.execute(statement, values)


def printed(conn: Connection, name: str) -> list[str]:
    return [line for (line,) in conn.execute(PRINTED.format(name))]


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(row, max_size=12), skip=st.integers(0, 3), batch=st.integers(1, 13))
def test_copy_equals_insert(
    tables: Connection, rows: list[dict[str, object]], skip: int, batch: int
) -> None:
    tables.execute("TRUNCATE by_copy, by_insert RESTART IDENTITY")
    rows_before = copy.BATCH_ROWS
    copy.BATCH_ROWS = batch
    try:
        # a slice has buffers with an offset
        sent = copy.copy_columns(tables, ("pg_temp", "by_copy"), as_table(rows).slice(skip))
    finally:
        copy.BATCH_ROWS = rows_before
    insert(tables, rows[skip:])
    assert sent == len(rows[skip:])
    assert printed(tables, "by_copy") == printed(tables, "by_insert")


def test_extremes(tables: Connection) -> None:
    number = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308]
    rows = [dict.fromkeys(TYPES) | {"number": n, "single": n} for n in number[:4]]
    rows += [dict.fromkeys(TYPES) | {"number": n} for n in number]
    rows += [dict.fromkeys(TYPES) | {"id": n} for n in (-(2**63), 2**63 - 1, 0)]
    rows += [dict.fromkeys(TYPES) | {"tag": t} for t in ("", "é", "🧠" * 70_000, "\\N")]
    copy.copy_columns(tables, ("pg_temp", "by_copy"), as_table(rows))
    insert(tables, rows)
    assert printed(tables, "by_copy") == printed(tables, "by_insert")


def test_a_batch_of_long_texts_is_cut(tables: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "BATCH_BYTES", 1000)
    texts = pa.table({"tag": ["x" * 300] * 50})
    assert max(b.nbytes for b in copy._batches(texts)) <= 1000
    assert copy.copy_columns(tables, ("pg_temp", "by_copy"), texts) == 50
    assert tables.execute("SELECT count(*), min(length(tag)) FROM by_copy").fetchone() == (50, 300)


def test_other_units_chunks_and_null_columns(tables: Connection) -> None:
    seconds = pa.array([0, None, -1], pa.timestamp("s", "UTC"))
    table = pa.table(
        {
            "created": pa.chunked_array([seconds, seconds]),
            "tag": pa.array(["a", None, "b"] * 2, pa.large_string()),
            "flag": pa.nulls(6),
        }
    )
    copy.copy_columns(tables, ("pg_temp", "by_copy"), table)
    got = tables.execute("SELECT created, tag, flag FROM by_copy ORDER BY ordinal").fetchall()
    first = datetime(1970, 1, 1, tzinfo=UTC)
    assert (
        got[:3]
        == got[3:]
        == [
            (first, "a", None),
            (None, None, None),
            (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), "b", None),
        ]
    )


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array(["a\0b"]), "zero byte"),
        (pa.array([[1.0, None, 3.0]], POINT), "coordinate that is null"),
        (pa.array([[1.0]]), "cannot be stored"),
        (pa.array([1], pa.uint64()), "cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    tables: Connection, column: pa.Array, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        copy.copy_columns(tables, ("pg_temp", "by_copy"), pa.table({"tag": column}))


def test_nothing_is_stored_where_a_row_is_refused(conn: Connection) -> None:
    conn.execute("CREATE TABLE keyed (id bigint PRIMARY KEY)")
    conn.commit()
    ids = pa.table({"id": np.array([1, 2, 1])})
    with pytest.raises(psycopg.errors.UniqueViolation):
        copy.copy_columns(conn, ("public", "keyed"), ids)
    conn.rollback()
    assert conn.execute("SELECT count(*) FROM keyed").fetchone() == (0,)
