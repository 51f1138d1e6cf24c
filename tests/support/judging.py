"""Answers of the engine held against those of the oracle."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from small_world import Pair

from matengine.engine.query import answer
from matengine.engine.query.model import At, Query
from matengine.testing import queries as oracle
from matengine.testing.queries import Tables

Rows = Sequence[Mapping[str, Any]]


def judge(pair: Pair, at: At, query: Query, tables: Tables, dice: random.Random) -> pa.Table:
    """The answer to a query is the oracle's, and so is a page, a sample or a count of it."""
    expected = oracle.answer(query, tables)
    ordered = oracle.ordered(query, tables)
    asked = answer.plan(pair.conn, pair.name, at, query)
    found = answer.read(pair.conn, asked)
    assert found.schema.equals(asked.schema, check_metadata=False)
    rows = found.to_pylist()
    assert_same(rows, expected, ordered=ordered)
    kind = dice.randrange(4)
    if kind == 0:
        limit, offset = dice.randrange(6), dice.randrange(4)
        page = _ask(pair, at, replace(query, limit=limit, offset=offset))
        assert page == rows[offset : offset + limit]
    elif kind == 1:
        size = dice.randrange(1, 20)
        some = _ask(pair, at, replace(query, random_sample=size))
        assert len(some) == min(size, len(rows))
        assert oracle.is_sample(some, rows)
    elif kind == 2:
        assert _ask(pair, at, replace(query, count=True)) == [{"count": len(rows)}]
        assert answer.count(pair.conn, asked) == len(rows)
    pair.conn.commit()
    return found


def _ask(pair: Pair, at: At, query: Query) -> list[dict[str, Any]]:
    return answer.ask(pair.conn, pair.name, at, query).to_pylist()


def assert_same(found: Rows, expected: Rows, *, ordered: bool = True) -> None:
    """The same rows, in the same order where there is one; sums may be rounded otherwise."""
    if found == expected:
        return
    assert len(found) == len(expected), f"{len(found)} rows, not {len(expected)}"
    if not ordered:
        found, expected = sorted(found, key=_place), sorted(expected, key=_place)
    for row, right in zip(found, expected, strict=True):
        assert row.keys() == right.keys()
        for column, value in row.items():
            assert _equal(value, right[column]), f"{column} of {row}, not of {right}"


def _equal(value: Any, right: Any) -> bool:
    if isinstance(value, float) and isinstance(right, float):
        return math.isclose(value, right, rel_tol=1e-12)
    return bool(value == right)


def _place(row: Mapping[str, Any]) -> str:
    return repr([f"{v:.9g}" if isinstance(v, float) else v for v in row.values()])
