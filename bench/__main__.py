"""`./mat bench`: the measurements, each on a private server of its own."""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import structlog
import typer

from bench import (
    aging,
    answers,
    boxes,
    bulk,
    diffs,
    graph,
    live,
    partitions,
    resegment,
    scaling,
    serving,
    sizes,
    tables,
    versions,
)
from bench.figure import Figure
from bench.place import CACHE, Place
from matengine.cli.watching import watching
from matengine.errors import MatengineError, NotFound, did_you_mean

# in the order in which they run where none is named
BENCHES: dict[str, ModuleType] = {
    "versions": versions,
    "bulk": bulk,
    "graph": graph,
    "sizes": sizes,
    "live": live,
    "serving": serving,
}
# these take long, and run only when named
LONG: dict[str, ModuleType] = {
    "scaling": scaling,
    "boxes": boxes,
    "diffs": diffs,
    "resegment": resegment,
    "aging": aging,
    "partitions": partitions,
    "answers": answers,
}

_ALL = BENCHES | LONG


def _lines(benches: dict[str, ModuleType]) -> str:
    """A line each: the name, and the first line of the module's docstring."""
    width = max(map(len, _ALL))
    return "\n".join(
        f"{name:{width}}  {(module.__doc__ or '').strip().splitlines()[0]}"
        for name, module in benches.items()
    )


HELP = f"""Measure what the engine costs, where it can beside the classic way on the same data.

\b
Run where none is named:
{_lines(BENCHES)}

\b
Run only when named, for they take long:
{_lines(LONG)}
"""


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME ...]")] = None,
    rows: Annotated[int, typer.Option(min=100, help="Rows of the data.")] = 1_000_000,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write those that have a target here, in Markdown."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw figures of several sizes here (svg, png)."),
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the plan of every statement here; slower."),
    ] = None,
) -> None:
    """Run the benchmarks, print their figures, write them where asked."""
    chosen = names or list(BENCHES)
    for name in chosen:
        if name not in _ALL:
            raise NotFound(f"There is no benchmark {name!r}.", did_you_mean(name, _ALL))
    figures: list[Figure] = []
    for name in chosen:
        with watching(name) as progress:
            figures += _ALL[name].run(Place(rows, CACHE, progress, plans))
    tables.show(figures)
    if json_file is not None:
        json_file.write_text(json.dumps([f.record() for f in figures], indent=2) + "\n")
    if table is not None:
        table.write_text(tables.markdown(figures))
    if plot is not None:
        from bench.plot import draw  # matplotlib takes long to import

        draw(figures, plot)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=HELP)(main)
    try:
        app(prog_name="./mat bench")
    except MatengineError as error:
        sys.exit(str(error))
