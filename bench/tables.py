"""Figures as a table, on the terminal and in Markdown for the documentation."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from bench import targets
from bench.figure import Figure

LEFT = ("figure", "note")
HEADINGS = ("figure", "rows", "target", "measured", "stand-in", "ratio", "note")


def show(figures: Iterable[Figure]) -> None:
    """Print them."""
    table = Table(title="What it costs")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in LEFT else "right")
    for figure in figures:
        table.add_row(*_cells(figure))
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def markdown(figures: Iterable[Figure]) -> str:
    """A table of those that have a target."""
    rows = [HEADINGS, ["---" if h in LEFT else "---:" for h in HEADINGS]]
    rows += [_cells(figure) for figure in figures if targets.of(figure)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _cells(figure: Figure) -> list[str]:
    target = targets.of(figure)
    aim = "" if target is None else f"{target}{'' if target.met(figure) else ', missed'}"
    return [
        figure.name,
        f"{figure.rows:,}",
        aim,
        f"{_number(figure.ours)} {figure.unit}",
        "" if figure.stand_in is None else f"{_number(figure.stand_in)} {figure.unit}",
        "" if figure.ratio is None else _part(figure.ratio),
        figure.note,
    ]


def _number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _part(ratio: float) -> str:
    return f"1/{_number(1 / ratio)}" if 0 < ratio < 1 else f"{_number(ratio)}"
