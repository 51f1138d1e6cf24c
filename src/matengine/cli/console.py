"""What commands say: answers on stdout, everything else on stderr."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# no width: ids must not be broken into lines
out = Console(highlight=False, soft_wrap=True, width=10_000)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for the person who watches."""
    err.print(text, markup=False)


def show(text: str) -> None:
    """A line of the answer."""
    out.print(text, markup=False)


def show_json(value: Any) -> None:
    """The whole answer as JSON: integers stay integers, times are ISO with Z."""
    sys.stdout.write(to_json(value).decode() + "\n")


def to_json(value: Any) -> bytes:
    return orjson.dumps(
        value,
        default=_plain,
        option=orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2,
    )


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    return int(value)  # fingerprints are Decimal


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Rows for people; numbers to the right."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    filled = [[cell(value) for value in row] for row in rows]
    numeric = [
        all(row[i].replace(",", "").lstrip("-").isdigit() or not row[i] for row in filled)
        for i in range(len(columns))
    ]
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in filled:
        table.add_row(*map(escape, row))
    out.print(table)


def cell(value: Any) -> str:
    """A value as people read it in a table."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return iso(value)
    return str(value)


def iso(time: datetime) -> str:
    """ISO in UTC with Z, as short as the time allows."""
    at = time.astimezone(UTC).replace(tzinfo=None)
    if at.microsecond % 1000:
        return at.isoformat() + "Z"
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds") + "Z"
