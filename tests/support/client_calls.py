"""Questions in the words of CAVEclient, and what their answers must be.

A `Call` is code for a client process and the rows that it must give, found by the oracle.
"""

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from served import Served, run_client

from matengine.engine.query.model import Op, Query
from matengine.testing.queries import Tables, answer, count

KEYWORDS = {
    Op.IN: "filter_in_dict",
    Op.NOT_IN: "filter_out_dict",
    Op.EQUAL: "filter_equal_dict",
    Op.GREATER: "filter_greater_dict",
    Op.LESS: "filter_less_dict",
    Op.GREATER_EQUAL: "filter_greater_equal_dict",
    Op.LESS_EQUAL: "filter_less_equal_dict",
    Op.BOX: "filter_spatial_dict",
    Op.REGEX: "filter_regex_dict",
}

# `m` and `c` pass everything on to the client's parts, and note what of them was used
SETTING = """
import datetime
import requests

CALLED = {}

class Noted:
    def __init__(self, part):
        self.part = part

    def __getattr__(self, name):
        value = getattr(self.part, name)
        CALLED.setdefault(name, set())
        if not callable(value):
            return value

        def call(*given, **named):
            CALLED[name] |= set(named)
            return value(*given, **named)

        return call

m, c = Noted(client.materialize), Noted(client.chunkedgraph)
found = {}

def status(call):
    try:
        call()
    except requests.HTTPError as error:
        return error.response.status_code
    return "no error"
"""
TELLING = """
tell({"found": found, "called": {name: sorted(of) for name, of in CALLED.items()}})
"""


@dataclass(frozen=True)
class Call:
    """`code` is an expression; `rows` are what it must give, or (`some_of`) be some of."""

    code: str
    rows: Sequence[Mapping[str, Any]]
    some_of: bool = False


def ask(
    method: str,
    query: Query,
    known: Tables,
    *,
    meant: Query | None = None,
    nested: bool = False,
    **more: Any,
) -> Call:
    """A call of a method of `m` that asks a query.

    meant: the query whose answer it must give, where the client makes another one of it. nested:
    filters come by table. more: further arguments, as they are.
    """
    given: dict[str, Any] = {"split_positions": True} | more
    if "table" not in given and "tables" not in given and method != "synapse_query":
        given["view_name" if method == "query_view" else "table"] = query.table
    for asked in query.filters:
        words = given.setdefault(KEYWORDS[asked.op], {})
        words = words.setdefault(asked.table, {}) if nested else words
        words[asked.column] = asked.value
    options = {
        "select_columns": query.columns,
        "limit": query.limit,
        "offset": query.offset or None,
        "desired_resolution": query.resolution_nm and list(query.resolution_nm),
        "suffixes": dict(query.suffixes) or None,
        "get_counts": query.count or None,
        "random_sample": query.random_sample,
    }
    given |= {name: value for name, value in options.items() if value is not None}
    code = f"m.{method}({', '.join(f'{name}={value!r}' for name, value in given.items())})"
    meant = meant or query
    if query.count:
        return Call(code, [{"count": count(meant, known)}])
    return Call(code, page(query, answer(meant, known)), query.random_sample is not None)


def page(query: Query, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : end]


def run_calls(server: Served, calls: Mapping[str, Call], code: str = "") -> dict[str, Any]:
    """Run calls, and some more code, in one client process; gives what the code told.

    Each answer must have exactly the expected rows, in any order of the columns.
    """
    asking = "".join(f"found[{name!r}] = {call.code}\n" for name, call in calls.items())
    told: dict[str, Any] = run_client(server, SETTING + asking + code + TELLING)
    faults = [_fault(told["found"].pop(name), call) for name, call in calls.items()]
    assert not any(faults), "\n".join(fault for fault in faults if fault)
    return told


def _fault(found: list[dict[str, Any]], call: Call) -> str | None:
    """What is wrong with an answer, in short."""
    expected, rows = [_plain(row) for row in call.rows], [_plain(row) for row in found]
    if call.some_of:
        if rows and all(row in expected for row in rows):
            return None
    elif rows == expected:
        return None
    if len(rows) != len(expected):
        return f"{call.code} has {len(rows)} rows, not {len(expected)}"
    place = next((i for i, (a, b) in enumerate(zip(rows, expected, strict=True)) if a != b), 0)
    differing = set(rows[place].items()) ^ set(expected[place].items())
    return f"{call.code}, row {place}: {sorted(differing, key=str)}"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON and pandas leave it: times as texts, NaN for what is missing."""
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, datetime) else value


def methods(module: str, kind: str) -> dict[str, set[str]]:
    """The public methods and properties of a client, with the names of their arguments."""
    folder = Path(str(distribution("caveclient").locate_file("caveclient")))
    for node in ast.parse((folder / f"{module}.py").read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == kind:
            return {
                f.name: {a.arg for a in f.args.args[1:]}
                for f in node.body
                if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")
            }
    raise AssertionError(f"CAVEclient has no {kind}.")
