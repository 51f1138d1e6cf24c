"""Rows as Arrow from PostgreSQL: deadlines, answers that are left, connections used again."""

import time

import pyarrow as pa
import pytest

from matengine.errors import Unavailable
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of


def for_each(reader: pa.RecordBatchReader, read: list[int]) -> None:
    for batch in reader:
        read.append(batch.num_rows)


ENDLESS = "SELECT generate_series(1, 1000000000) AS i, repeat('x', 1000) AS x"


def test_deadlines_and_answers_that_are_left(conn: Connection) -> None:
    place = conninfo_of(conn)
    with (
        pytest.raises(Unavailable, match=r"after 0\.2 s"),
        arrow.stream(place, "SELECT pg_sleep(60)::text", 0.2) as reader,
    ):
        reader.read_all()
    read: list[int] = []
    with (
        pytest.raises(Unavailable, match="after 1 s"),
        arrow.stream(place, ENDLESS, 1) as reader,
    ):
        for_each(reader, read)
    assert read  # it was ended in the midst
    with arrow.stream(place, ENDLESS) as reader:
        reader.read_next_batch()
    with pytest.raises(Unavailable, match="was left"):
        reader.read_next_batch()
    wait_for = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1000000000%'"
        " AND pid <> pg_backend_pid() AND state = 'active'"
    )
    for _ in range(100):
        conn.commit()
        if conn.execute(wait_for).fetchone() == (0,):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the statement runs on")
    with pytest.raises(KeyError), arrow.stream(place, ENDLESS) as reader:
        raise KeyError
    assert arrow.read_table(place, "SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_connections_are_used_again_as_long_as_they_live(conn: Connection) -> None:
    place = conninfo_of(conn)
    asked = "SELECT pg_backend_pid() AS pid"
    (first,) = arrow.read_table(place, asked)["pid"].to_pylist()
    assert arrow.read_table(place, asked)["pid"].to_pylist() == [first]
    conn.execute("SELECT pg_terminate_backend(%s)", (first,))
    conn.commit()
    assert arrow.read_table(place, asked)["pid"].to_pylist() != [first]
