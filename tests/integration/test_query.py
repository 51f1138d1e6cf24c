"""Queries: what each part of one does, and random ones against answers by brute force."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query_strategies import queries
from query_world import QueryWorld, query_world

from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.testing import queries as judge


@pytest.fixture(scope="module")
def world(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryWorld]:
    with query_world(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


def paged(world: QueryWorld, version: int, query: Query, size: int) -> list[dict[str, object]]:
    """All rows of an answer, page by page, each from the cursor of the one before."""
    rows: list[dict[str, object]] = []
    while True:
        asked = answer.plan(world.conn, world.name, version, replace(query, limit=size))
        with answer.stream(world.conn, asked) as reader:
            batches = list(reader)
        rows += [row for batch in batches for row in batch.to_pylist()]
        if sum(batch.num_rows for batch in batches) < size:
            return rows
        query = replace(query, after=answer.cursor_of(asked, batches[-1]))


@given(st.data())
@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_random_queries(world: QueryWorld, data: st.DataObject) -> None:
    world.conn.rollback()
    version = data.draw(st.sampled_from((1, 2)))
    query = data.draw(queries(world, version))
    tables = world.tables[version]
    expected = judge.answer(query, tables)
    asked = answer.plan(world.conn, world.name, version, query)
    found = answer.read(world.conn, asked)
    assert found.schema.equals(asked.schema, check_metadata=False)
    assert found.to_pylist() == expected
    kind = data.draw(st.sampled_from(("page", "cursor", "sample", "count")))
    if kind == "page":
        limit, offset = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 3)))
        page = replace(query, limit=limit, offset=offset)
        rows = answer.ask(world.conn, world.name, version, page).to_pylist()
        assert rows == expected[offset : offset + limit]
    elif kind == "cursor":
        size = data.draw(st.integers(max(1, len(expected) // 3), len(expected) + 2))
        assert paged(world, version, query, size) == expected
    elif kind == "sample":
        number = data.draw(st.integers(1, 20))
        sample = replace(query, random_sample=number)
        rows = answer.ask(world.conn, world.name, version, sample).to_pylist()
        assert len(rows) == min(number, len(expected))
        assert judge.is_sample(rows, expected)
    else:
        assert answer.count(world.conn, asked) == len(expected)
        counted = answer.ask(world.conn, world.name, version, replace(query, count=True))
        assert counted.to_pylist() == [{"count": len(expected)}]
    world.conn.commit()
