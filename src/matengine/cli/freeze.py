"""Freezing: a version of what is up to date already."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from matengine.cli import console, failing
from matengine.cli.materialize import resume_words, work
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import MatengineError


def add_to(app: typer.Typer) -> None:
    app.command("freeze")(freeze)


def freeze(
    data: Data = None,
    datastack: Datastack = None,
    note: Annotated[str, typer.Option(help="What people shall know of the version.")] = "",
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, help="Let it go after so many days; default: never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a version of the newest epoch, at once: nothing is looked up, nothing is copied.

    What came after that epoch is not in it; `matengine materialize` would take it up. Where
    nothing was ever brought up to date, it does that first.

    Example: matengine freeze --note "as published" --data box
    """
    from matengine.engine.runs import runs
    from matengine.engine.versions import catalogue
    from matengine.engine.versions.freeze import create_frozen

    with place(data, datastack) as where:
        expires = datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days else None
        frozen = create_frozen(where.conn, where.datastack, expires_on=expires, note=note)
        if frozen.run_id is not None:
            failing.can_resume(resume_words(frozen.run_id, data, where))
            work(where, frozen.run_id, what="freeze")
            run = runs.get(where.conn, frozen.run_id)
            if run.status != "done":
                raise MatengineError(f"Run {run.run_id} has {run.status}: {run.error}.")
        made = catalogue.version(where.conn, where.datastack, frozen.version)
    if as_json:
        console.show_json(vars(made) | {"run_id": frozen.run_id})
    else:
        assert made.time is not None  # it is available
        time = console.iso(made.time)
        console.show(f"version {made.version} of {where.datastack}, as of {time}")
