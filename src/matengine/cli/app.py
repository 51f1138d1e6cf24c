"""The command line's map: its commands, in the order in which one meets them."""

import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import structlog
import typer
from typer.exceptions import TyperException

from matengine.cli import (
    boxes,
    datasets,
    demo,
    diff,
    failing,
    freeze,
    graph,
    history,
    info,
    keeping,
    lineage,
    lookups,
    materialize,
    pace,
    query,
    runs,
    tables,
    upkeep,
    verify,
    views,
)

app = typer.Typer(
    name="matengine",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_options = {"debug": False}


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Say the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Versions of connectomics annotation tables: exact, citable, and as cheap as what changed.

    A first session:

      matengine up --data box                       everything runs; Ctrl-C ends it

      matengine import FOLDER --data box            a datastack from files

      matengine materialize --data box              version 1

      matengine query synapses --data box           its rows
    """
    _options["debug"] = debug
    if version:
        typer.echo(metadata.version("matengine"))
        raise typer.Exit


for module in (
    demo,
    boxes,
    datasets,
    tables,
    info,
    materialize,
    freeze,
    query,
    views,
    diff,
    history,
    lineage,
    verify,
    lookups,
    keeping,
    upkeep,
    pace,
    graph,
    runs,
):
    module.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for an error, 2 for misuse, 130 for Ctrl-C."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        code = app(arguments, prog_name="matengine", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return failing.interrupted()
    except BrokenPipeError:
        return failing.broken_pipe()
    except TyperException as error:
        return _misused(error)
    except typer.Abort:
        return failing.interrupted()
    except Exception as error:
        return failing.failed(error, debug=_options["debug"])
    return failing.interrupted() if code == 130 else int(code or 0)


def _misused(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code  # the help has been shown
    command = context.command_path if context is not None else "matengine"
    return failing.misused(error.format_message(), command, error.exit_code)
