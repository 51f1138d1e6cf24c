"""Options that several commands share."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from matengine.errors import Invalid
from matengine.times import parse_time

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The box's folder. Without it MATENGINE_DATABASE_URL or MATENGINE_DATA tells.",
        show_default=False,
    ),
]
Datastack = Annotated[
    str | None,
    typer.Option(
        "--datastack", metavar="NAME", help="Which datastack; needless where there is one."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]


def time_of(text: str) -> datetime:
    """Parser of options that are a time."""
    try:
        return parse_time(text)
    except Invalid as error:
        raise typer.BadParameter(str(error)) from None


At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        metavar="TIME",
        parser=time_of,
        help="A time such as 2026-01-31T12:00:00 (UTC unless it says otherwise).",
    ),
]
