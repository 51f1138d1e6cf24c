"""Runs: what is being done, what was, and how to stop it."""

from typing import Annotated, Any

import typer

from matengine.cli import console, failing
from matengine.cli.materialize import resume_words, work
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid, MatengineError


def add_to(app: typer.Typer) -> None:
    app.command("runs")(runs)


def runs(
    run: Annotated[int | None, typer.Argument(help="One run, to see more of.")] = None,
    data: Data = None,
    datastack: Datastack = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Stop it and take back what it wrote.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with one that was interrupted.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also epochs that were made by themselves.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many of the latest runs.")] = 20,
    as_json: Json = False,
) -> None:
    """The latest runs, or one of them.

    Of the epochs that were made by themselves (see: matengine pace) those that go on or failed.

    Examples:

      matengine runs --data box

      matengine runs 3 --cancel --data box
    """
    from matengine.engine.runs import engine
    from matengine.engine.runs import runs as records

    if run is None and (cancel or resume):
        raise Invalid("Which run?", "Name one, as `matengine runs` lists them.")
    if cancel and resume:
        raise Invalid("A run is resumed or cancelled, not both.")
    with place(data, datastack) as where:
        if run is None:
            found = records.listed(where.conn, where.datastack, limit, paced=every)
            _tell_all(found, as_json)
            return
        records.get(where.conn, run)
        where.conn.commit()
        if cancel:
            engine.cancel(where.conn, run)
        if resume:
            failing.can_resume(resume_words(run, data, where))
            work(where, run)
        one = records.get(where.conn, run)
        tally = records.tally(where.conn, run)
    _tell(one, tally, as_json)
    if resume and one.status != "done":
        raise MatengineError(f"Run {run} has {one.status}: {one.error}.")


def _tell_all(found: list[Any], as_json: bool) -> None:
    if as_json:
        console.show_json(found)
        return
    console.show_table(
        ["run", "workflow", "status", "phase", "version", "started", "seconds", "error"],
        [
            (
                r.run_id,
                r.workflow,
                r.status,
                r.phase,
                r.version,
                r.started,
                f"{(r.finished - r.started).total_seconds():.1f}" if r.finished else "",
                r.error,
            )
            for r in found
        ],
    )


def _tell(run: Any, tally: Any, as_json: bool) -> None:
    if as_json:
        console.show_json(vars(run) | {"units": vars(tally)})
        return
    console.show(f"run {run.run_id}: {run.workflow} of {run.datastack}, {run.status}")
    for name in ("phase", "epoch", "version", "time", "started", "finished", "error"):
        value = getattr(run, name)
        if value is not None:
            console.show(f"  {name}: {console.cell(value)}")
    console.show(f"  units: {tally.done} of {tally.total} done")
    for fault in tally.faults[:5]:
        console.show(f"  stumbled: {fault}")
