"""Random scenarios: a diff is what the two versions, held against each other, differ in."""

import itertools
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from small_world import SIZE, Pair, write_volume

from matengine.engine.query import diff
from matengine.engine.versions import layout
from matengine.storage.connections import Connection

_voxel = st.integers(-1, SIZE)
_point = st.tuples(_voxel, _voxel, _voxel)
_number = st.integers(0, 1000)
_insert = st.tuples(
    st.just("insert"), st.lists(_point, min_size=3, max_size=3), st.none() | st.just(1.5)
)
_merge = st.tuples(st.just("merge"), _number, _number)

_action = st.one_of(
    _insert,
    _insert,
    st.tuples(st.just("note"), _number),
    st.tuples(st.just("move"), _number, _point),
    st.tuples(st.just("delete"), _number),
    _merge,
    _merge,
    st.tuples(st.just("split"), _number),
    st.tuples(st.just("epoch"), st.booleans()),
    st.tuples(st.just("epoch"), st.just(True)),
)

SCENARIOS = int(os.environ.get("MATENGINE_TEST_SCENARIOS", "520")) // 10


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


def held(pair: Pair, table: str, old: pa.Table, new: pa.Table) -> list[dict[str, Any]]:
    """The difference of two whole versions, the obvious way."""
    where = layout.layout_of(pair.conn, table, pair.name)
    ids = [c.name for c in where.columns if c.name in where.supervoxels + where.roots]
    before = {row["id"]: row for row in old.to_pylist()}
    after = {row["id"]: row for row in new.to_pylist()}
    found = []
    for row_id in sorted(before.keys() | after.keys()):
        then, now = before.get(row_id), after.get(row_id)
        if then != now:
            kind = "added" if then is None else "removed" if now is None else "changed"
            row = {"id": row_id, "change": kind}
            for column in ids:
                row[f"old_{column}"] = then[column] if then else None
                row[f"new_{column}"] = now[column] if now else None
            found.append(row)
    return found


def touching(expected: list[dict[str, Any]], roots: list[int]) -> list[dict[str, Any]]:
    return [
        row
        for row in expected
        if any(value in roots for name, value in row.items() if name.endswith("_root_id"))
    ]


def check(pair: Pair, table: str, old: int, new: int, dice: random.Random) -> None:
    expected = held(pair, table, pair.versions[old][1][table], pair.versions[new][1][table])
    asked = diff.between(pair.conn, pair.name, table, old, new)
    assert diff.read(pair.conn, asked).to_pylist() == expected
    shown = sorted({v for row in expected for k, v in row.items() if k.endswith("_root_id") and v})
    if shown:
        roots = dice.sample(shown, min(2, len(shown)))
        asked = diff.between(pair.conn, pair.name, table, old, new, roots)
        assert diff.read(pair.conn, asked).to_pylist() == touching(expected, roots)


def collect(pair: Pair, version: int) -> None:
    """Let go of a version and of all that no kept epoch shows."""
    conn, ds = pair.conn, pair.name
    conn.execute(
        "UPDATE matengine.version SET status = 'EXPIRED' WHERE datastack = %s AND version = %s",
        (ds, version),
    )
    conn.execute(
        "UPDATE matengine.epoch AS e SET collected = now() WHERE datastack = %(ds)s AND epoch <"
        " (SELECT max(epoch) FROM matengine.epoch WHERE datastack = %(ds)s) AND NOT EXISTS"
        " (SELECT FROM matengine.version AS v WHERE v.datastack = e.datastack"
        "  AND v.epoch = e.epoch AND v.status = 'AVAILABLE')",
        {"ds": ds},
    )
    for table in (pair.table, pair.notes):
        where = layout.layout_of(conn, table, ds)
        conn.execute(
            sql.SQL(
                "DELETE FROM {history} AS h WHERE from_epoch < to_epoch AND NOT EXISTS"
                " (SELECT FROM matengine.epoch AS e WHERE e.datastack = {ds} AND e.collected IS"
                "  NULL AND h.from_epoch <= e.epoch AND h.to_epoch > e.epoch)"
            ).format(history=where.history, ds=sql.Literal(ds))
        )
    conn.commit()
    del pair.versions[version]


@settings(
    max_examples=SCENARIOS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(_action, min_size=4, max_size=14), seed=_number)
def test_diffs_are_what_versions_differ_in(
    conn: Connection, volume: str, actions: list[tuple], seed: int
) -> None:
    pair, dice = Pair(conn, volume), random.Random(seed)
    try:
        for name, *arguments in actions:
            getattr(pair, name)(*arguments)
        pair.epoch()
        pairs = list(itertools.permutations(pair.versions, 2))
        for old, new in dice.sample(pairs, min(4, len(pairs))):
            check(pair, pair.table, old, new, dice)
            check(pair, pair.notes, old, new, dice)
        if len(pair.versions) > 2:
            collect(pair, dice.choice(sorted(pair.versions)[:-1]))
            for old, new in itertools.pairwise(sorted(pair.versions)):
                check(pair, pair.table, old, new, dice)
                check(pair, pair.notes, new, old, dice)
        pair.check_versions()
    finally:
        pair.leave()
