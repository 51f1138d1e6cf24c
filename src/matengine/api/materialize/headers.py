"""Headers that an answer carries for people and programs, within what HTTP allows."""

from collections.abc import Mapping

from flask import Response

# proxies refuse answers whose headers exceed a few KB in all
MOST_NAMES = 3000
MOST_WARNING = 1000


def warn(answer: Response, text: str) -> None:
    """Add a `Warning` line, which CAVE's client logs: plain text of one line."""
    line = " ".join(text.split())
    if len(line) > MOST_WARNING:
        line = f"{line[:MOST_WARNING]}…"
    answer.headers.add("Warning", line.encode("ascii", "backslashreplace").decode())


def name_columns(answer: Response, names: Mapping[str, Mapping[str, str]]) -> None:
    """Tell which output column each table's column became, as Python writes such a mapping.

    Left out where it is too long for a header; the Arrow schema's metadata has it always.
    """
    told = ascii({table: dict(columns) for table, columns in names.items()})
    if len(told) <= MOST_NAMES:
        answer.headers["column_names"] = told
