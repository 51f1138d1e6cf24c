"""Headers that an answer carries for people and programs, within what HTTP allows."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response

from matengine.engine.query.answer import Plan
from matengine.engine.query.model import Query

# proxies refuse answers whose headers exceed a few KB in all
MOST_NAMES = 3000
MOST_WARNING = 1000


def warn(answer: Response, text: str) -> None:
    """Add a `Warning` line, which CAVE's client logs: plain text of one line."""
    line = " ".join(text.split())
    if len(line) > MOST_WARNING:
        line = f"{line[:MOST_WARNING]}..."
    answer.headers.add("Warning", line.encode("ascii", "backslashreplace").decode())


def describe(answer: Response, plan: Plan, query: Query, end: Mapping[str, Any]) -> None:
    """Say what is known of an answer before its rows.

    `dataframe_resolution` and `column_names` are CAVE's; `matengine-total` is the number of rows
    without limit and filters, `matengine-translated` which root ids stand for which of the
    question, in JSON, and what else begins so is what `end` says: `rows`, `truncated`, `cursor`.
    """
    resolution = plan.resolution_nm or query.resolution_nm
    if resolution is not None:
        answer.headers["dataframe_resolution"] = ", ".join(str(float(nm)) for nm in resolution)
    _name_columns(answer, plan.names)
    _tell_translated(answer, plan)
    if plan.total is not None and not query.count:
        answer.headers["matengine-total"] = str(plan.total)
    for name, value in end.items():
        if value is not None:
            told = str(value).lower() if isinstance(value, bool) else str(value)
            answer.headers[f"matengine-{name}"] = told


def _name_columns(answer: Response, names: Mapping[str, Mapping[str, str]]) -> None:
    """Tell which output column each table's column became, as Python writes such a mapping.

    Left out where it is too long for a header; the Arrow schema's metadata has it always.
    """
    told = ascii({table: dict(columns) for table, columns in names.items()})
    if len(told) <= MOST_NAMES:
        answer.headers["column_names"] = told


def _tell_translated(answer: Response, plan: Plan) -> None:
    """Left out where it is too long for a header; the Arrow schema's metadata has it always."""
    if not plan.translated:
        return
    told = json.dumps({str(root): list(ids) for root, ids in plan.translated.items()})
    if len(told) <= MOST_NAMES:
        answer.headers["matengine-translated"] = told
