"""The sample of the matrix of client calls: its moments, and questions that find something."""

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from client_calls import Call, run_calls
from served import Served
from truth import Truth

from matengine.engine.query.model import Filter, Join, Op, Query
from matengine.testing.queries import answer

V1 = datetime(2026, 1, 10, 0, 59, 20, 171000, tzinfo=UTC)  # at an operation
BETWEEN = datetime(2026, 1, 25, tzinfo=UTC)
V2 = datetime(2026, 2, 15, 12, tzinfo=UTC)
LATER = datetime(2026, 2, 24, tzinfo=UTC)  # between operations
END = datetime(2026, 3, 2, tzinfo=UTC)  # nothing happened since, but what a test does
TIMES = {"version 1": V1, "between": BETWEEN, "version 2": V2, "later": LATER, "end": END}

PLACE = [21, 14, 29]  # in voxels of the volume, where the first synapse begins

S, N, C = "synapses", "nuclei", "cell_types"
ABOUT = Join(C, "target_id", N, "id")
PRE = Join(S, "pre_pt_root_id", N, "pt_root_id")
# what a client calls the columns of a table, and of the one that it refers to
CLIENT_SUFFIXES = {C: "", N: "_ref"}
MANAGER_SUFFIXES = {C: "_ref", N: ""}


@dataclass
class Setting:
    """A server, the truth, and what was called of the client so far."""

    server: Served
    truth: Truth
    called: dict[str, set[str]] = field(default_factory=dict)

    def run(self, calls: dict[str, Call], code: str = "") -> Any:
        told = run_calls(self.server, calls, code)
        for name, words in told["called"].items():
            self.called.setdefault(name, set()).update(words)
        return told["found"]

    def table(self, name: str, at: datetime) -> list[dict[str, Any]]:
        return answer(Query(name), self.truth.tables(at))


def some_filters(rows_: list[dict[str, Any]]) -> dict[str, Filter]:
    """A filter of every kind, about synapses; each keeps some of the rows."""
    roots = [row["pre_pt_root_id"] for row in rows_]
    root = max(roots, key=lambda r: (r != 0, roots.count(r)))
    size = sorted(row["size"] for row in rows_)[len(rows_) // 2]
    box = [[20, 20, 0], [80.0, 100, 29]]
    return {
        "in": Filter(S, "id", Op.IN, [1, 3, 5, 777]),
        "in nothing": Filter(S, "id", Op.IN, []),
        "roots": Filter(S, "post_pt_root_id", Op.IN, sorted({r["post_pt_root_id"] for r in rows_})),
        "out": Filter(S, "pre_pt_root_id", Op.NOT_IN, [0, root]),
        "equal": Filter(S, "pre_pt_root_id", Op.EQUAL, root),
        "greater": Filter(S, "size", Op.GREATER, size),
        "less": Filter(S, "size", Op.LESS, size),
        "greater equal": Filter(S, "size", Op.GREATER_EQUAL, size),
        "less equal": Filter(S, "size", Op.LESS_EQUAL, size),
        "box": Filter(S, "post_pt_position", Op.BOX, box),
    }


def pages(query: Query) -> dict[str, Query]:
    """The options that are about which rows come, and how."""
    columns = ["id", "size", "pre_pt_position", "post_pt_root_id"]
    return {
        "whole": query,
        "columns": replace(query, columns=columns),
        "one column": replace(query, columns=["size"]),
        "limit": replace(query, limit=3),
        "page": replace(query, limit=4, offset=2),
        "behind the end": replace(query, limit=5, offset=10_000),
        "nm": replace(query, resolution_nm=(1.0, 1.0, 1.0)),
        "odd nm": replace(query, resolution_nm=(3.0, 0.5, 7.0)),
        "sample": replace(query, random_sample=7),
    }


def view_rows(setting: Setting, at: datetime) -> list[dict[str, Any]]:
    three = Query(S, (PRE, Join(N, "id", C, "target_id")), suffixes={S: "", N: "_n", C: "_c"})
    names = {"id": "id", "pre_root": "pre_pt_root_id", "big": "size"}
    names |= {f"middle_{axis}": f"ctr_pt_position_{axis}" for axis in "xyz"}
    names |= {"soma": "id_n", "kind": "cell_type"}
    return [
        {ours: row[theirs] for ours, theirs in names.items()}
        for row in answer(three, setting.truth.tables(at))
    ]


def heirs(setting: Setting, root: int, at: datetime) -> list[int]:
    """The synapses of the roots that are in the place of a root."""
    instead = setting.truth.graph.latest_ids([root], at)[root]
    return [row["id"] for row in setting.table(S, at) if row["pre_pt_root_id"] in instead]


def outdated_root(setting: Setting) -> int:
    """A root of V1 that later versions have not, but others with synapses in its place."""
    graph = setting.truth.graph
    roots = sorted({row["pre_pt_root_id"] for row in setting.table(S, V1)} - {0})
    alive = graph.is_latest(roots, V2) | graph.is_latest(roots, LATER)
    gone = np.array(roots)[~alive].tolist()
    return next(root for root in gone if heirs(setting, root, V2))


def run_page(name: str, setting: Setting) -> dict[str, Any]:
    """Run the Python of a page of the documentation, up to its runs; gives what it named."""
    page = Path(__file__).parents[2] / "docs" / name
    text = page.read_text().partition("## Runs")[0]
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for said, meant in (
        ("http://localhost:8000", setting.server.url),
        ('"sample"', repr(setting.server.datastack)),
    ):
        assert said in code
        code = code.replace(said, meant)
    named: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), named)
    return named
