"""Options that several commands share."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

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
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        metavar="TIME",
        parser=parse_time,
        help="A time such as 2026-01-31T12:00:00 (UTC unless it says otherwise).",
    ),
]
