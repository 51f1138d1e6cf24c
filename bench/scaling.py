"""The cost of a version against the size of the table: N, 3 N and 10 N rows of `--rows N`."""

from dataclasses import replace

from bench import versions
from bench.figure import Figure
from bench.place import Place

TIMES = (1, 3, 10)


def run(place: Place) -> list[Figure]:
    """The figures of `versions` at each size; `--plot` draws them."""
    figures = [
        figure
        for times in TIMES
        for figure in versions.run(replace(place, rows=times * place.rows))
    ]
    return [*figures, *_beside(figures)]


def _beside(figures: list[Figure]) -> list[Figure]:
    """What as many changed rows cost in the largest table, beside the smallest, where both are."""
    name = f"{versions.FEW}: CPU"
    found = {figure.rows: figure for figure in figures if figure.name == name}
    if len(found) < len(TIMES):
        return []
    small, large = found[min(found)], found[max(found)]
    return [
        Figure(
            f"{versions.CHANGED:,} rows changed, beside those in a table of a tenth: CPU",
            large.ours, small.ours, "s", large.rows, "the stand-in is ours in the smaller table",
        )
    ]  # fmt: skip
