"""What a chaos run checks by: each kind of fault is told, and a right state gives no fault."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chaos_ledger import Cut, Deed, Ledger, check_live, check_version
from chaos_world import Facts, Operation, digest

START = datetime(2026, 1, 1, tzinfo=UTC)
# rows 1 and 2 of the beginning; 2 was deleted, 3 inserted, and superseded by 4; one edit
LIVE: dict[str, list[Any]] = {
    "id": [1, 2, 3, 4],
    "size": [1.0, 2.0, 1000.0, 1001.0],
    "deleted": [None, START, START, None],
    "superceded_id": [None, None, 4, None],
}
EDIT = Operation(1, 5000, "merge", [(7, 8)])
LINES = [
    {"n": 1, "wall": 1.0, "do": "insert", "tags": [1000]},
    {"n": 1, "wall": 1.1, "done": [3]},
    {"n": 2, "wall": 2.0, "do": "delete", "ids": [2]},
    {"n": 2, "wall": 2.1, "done": [2]},
    {"n": 3, "wall": 3.0, "do": "update", "ids": [3], "tags": [1001]},
    {"n": 3, "wall": 3.1, "done": [[3, 4]]},
    {"n": 4, "wall": 5.0, "do": "merge", "edge": [7, 8]},
    {"n": 4, "wall": 5.1, "done": 1},
    {"n": 5, "wall": 6.0, "do": "insert", "tags": [1002, 1003]},
]


def facts(operation: Operation = EDIT, **columns: list[Any]) -> Facts:
    return Facts(pa.table(LIVE | columns), [operation])


@pytest.fixture
def deeds(tmp_path: Path) -> list[Deed]:
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return Ledger(tmp_path).read()


def test_a_right_state_has_no_fault(deeds: list[Deed]) -> None:
    assert list(check_live(deeds, facts(), deeds)) == []
    whole = facts(id=[1, 2, 3, 4, 5, 6], size=[1.0, 2.0, 1000.0, 1001.0, 1002.0, 1003.0],
                  deleted=[None, START, START, None, None, None],
                  superceded_id=[None, None, 4, None, None, None])  # fmt: skip
    assert list(check_live(deeds, whole, deeds)) == []  # what was lost took place after all


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: facts(size=[1.0, 2.0, 1000.0, 1000.0]),  # doubled
        lambda: facts(size=[1.0, 2.0, 1000.0, 2000.0]),  # of nobody
        lambda: facts(id=[1, 2, 5, 4]),  # under another id
        lambda: facts(size=[1.0, 2.0, 1000.0, 1002.0]),  # half of what was lost
        lambda: facts(deleted=[None, None, START, None]),  # a deletion lost
        lambda: facts(deleted=[START, START, START, None]),  # ended by nobody
        lambda: facts(superceded_id=[None, None, None, None]),
        lambda: facts(replace(EDIT, operation_id=2)),
        lambda: facts(replace(EDIT, kind="split")),
        lambda: facts(replace(EDIT, edges=[(7, 9)])),
    ],
)
def test_each_fault_is_told(deeds: list[Deed], wrong: Callable[[], Facts]) -> None:
    assert list(check_live(deeds, wrong(), deeds))


@pytest.mark.parametrize(
    ("shown", "asked", "time_ms", "right"),
    [
        ([1, 4], 5.5, 5500, True),
        ([1, 4], 2.5, 2500, False),  # the update began later
        ([1, 3], 2.5, 2500, True),
        ([1], 2.5, 2500, False),  # the insert was told before
        ([1, 2, 3], 2.5, 2500, False),  # so was the deletion
        ([1, 2, 3], 2.05, 2050, True),  # it was under way
        ([1, 4], 5.5, 4999, False),  # the edit was told before
        ([1, 4], 4.0, 5500, False),  # it began later
    ],
)
def test_versions_have_what_was_promised(
    deeds: list[Deed], shown: list[int], asked: float, time_ms: int, right: bool
) -> None:
    cut = Cut(asked, asked + 0.01, time_ms)
    faults = list(check_version(deeds, facts(), pa.table({"id": shown}), cut))
    assert (not faults) == right


def test_a_digest_tells_values_and_nulls_whatever_the_batches() -> None:
    whole = pa.table({"a": [1, 2, None], "b": [0.5, None, 1.5]})
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)]).select(["b", "a"])
    assert digest(parts) == digest(whole)
    for column, values in (("a", [1, 2, 0]), ("b", [0.5, 0.0, 1.5]), ("a", [2, 1, None])):
        place = whole.column_names.index(column)
        assert digest(whole.set_column(place, column, pa.array(values))) != digest(whole)
