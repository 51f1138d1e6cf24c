"""The cost of a version against the size of the table: N, 3 N and 10 N rows of `--rows N`."""

from dataclasses import replace

from bench import versions
from bench.figure import Figure
from bench.place import Place

TIMES = (1, 3, 10)


def run(place: Place) -> list[Figure]:
    """The figures of `versions` at each size; `--plot` draws them."""
    return [
        figure
        for times in TIMES
        for figure in versions.run(replace(place, rows=times * place.rows))
    ]
