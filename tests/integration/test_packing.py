"""Ids and points that travel as one value: what comes out is what plain columns have."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from matengine.engine.query.packing import Packed, Packing, Sent
from matengine.errors import Invalid
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of

COLUMNS = {
    "one": Packed.ID_OR_0,
    "note": None,
    "p": Packed.POINT,
    "two": Packed.ID,
    "q": Packed.POINT,
    "at": Packed.TIME,
    "size": None,
}

known = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
points = st.one_of(st.none(), st.just(()), st.tuples(numbers, numbers, numbers))
ids = st.one_of(st.none(), known)
texts = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8")))
times = st.datetimes(datetime(1800, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))
rows = st.tuples(ids, texts, points, known, points, times, st.one_of(st.none(), numbers))
Row = tuple[object, ...]


def geometry(point: tuple[float, ...] | None) -> str | None:
    if point is None:
        return None
    return f"SRID=4326;POINT Z ({' '.join(map(repr, point))})" if point else "POINT Z EMPTY"


@pytest.fixture
def table(conn: Connection) -> Connection:
    conn.execute(
        "CREATE TABLE packed (n serial, one bigint, note text, p geometry(PointZ), two bigint,"
        " q geometry(PointZ), at timestamptz, size float8, flat geometry)"
    )
    conn.commit()
    return conn


def ask(table: Connection, packing: Packing, names: list[str]) -> pa.Table:
    listed = packing.sent([sql.Identifier(name) for name in names])
    query = sql.SQL("SELECT {} FROM packed ORDER BY n").format(listed)
    return arrow.read_table(conninfo_of(table), query.as_string(None))


def shown(packing: Packing, batch: pa.RecordBatch, place: int) -> list[object]:
    if packing.kinds[place] is Packed.POINT:
        axes = Sent(packing, batch).points(place)
        return list(zip(*(axis.to_pylist() for axis in axes), strict=True))
    return Sent(packing, batch).column(place).to_pylist()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=st.lists(rows), chosen=st.permutations(list(COLUMNS)), count=st.integers(1, 7))
def test_columns_come_as_they_are(
    table: Connection, made: list[Row], chosen: list[str], count: int
) -> None:
    table.execute("TRUNCATE packed")
    with table.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO packed (one, note, p, two, q, at, size)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [(a, b, geometry(p), c, geometry(q), *rest) for a, b, p, c, q, *rest in made],  # type: ignore[arg-type]
        )
    table.commit()
    names = chosen[:count]
    packing = Packing(tuple(COLUMNS[name] for name in names))
    (batch,) = ask(table, packing, names).combine_chunks().to_batches() or [None]
    if batch is None:
        assert not made
        return
    assert batch.num_columns == count - max(0, len(packing.together) - 1)
    for place, name in enumerate(names):
        values = [row[list(COLUMNS).index(name)] for row in made]
        wanted: list[object] = values
        if COLUMNS[name] is Packed.POINT:
            wanted = [value or (None, None, None) for value in values]
        elif COLUMNS[name] is Packed.ID_OR_0 and packing.together:
            wanted = [0 if value is None else value for value in values]
        assert shown(packing, batch, place) == wanted
        assert shown(packing, batch.slice(1), place) == wanted[1:]


def test_a_point_without_z_is_refused(table: Connection) -> None:
    table.execute("INSERT INTO packed (one, flat) VALUES (1, 'POINT (1 2)')")
    table.commit()
    packing = Packing((Packed.ID, Packed.POINT))
    (batch,) = ask(table, packing, ["one", "flat"]).to_batches()
    with pytest.raises(Invalid, match="no point of three dimensions"):
        Sent(packing, batch).points(1)
