"""Growing old well: collect what nobody shows, write histories anew in order."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matengine.cli import console, failing
from matengine.cli.materialize import resume_words, work
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import Place, place
from matengine.cli.watching import watching
from matengine.errors import Conflict, MatengineError

if TYPE_CHECKING:
    from matengine.engine.runs.runs import Run


def add_to(app: typer.Typer) -> None:
    app.command("collect")(collect)
    app.command("compact")(compact)


def collect(
    data: Data = None,
    datastack: Datastack = None,
    live_days: Annotated[
        float | None,
        typer.Option(
            min=0, help="Keep epochs without a version for so long; default: as settled by pace."
        ),
    ] = None,
    may_compact: Annotated[
        bool,
        typer.Option(
            "--compact/--no-compact", help="Compact the tables that are a tenth empty or more."
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Remove the rows that only dropped versions showed, beside readers and writers.

    What a version shows never changes. The disk goes back to the machine: tables that have much
    of it to spare are compacted at the end. What others have is used by later versions. It can be
    interrupted at any time, and started again.

    Example: matengine collect --data box
    """
    from matengine.engine.pacing import choice
    from matengine.engine.versions import compact as compacting
    from matengine.engine.versions import garbage

    with place(data, datastack) as where:
        horizon = (
            choice.get(where.conn, where.datastack).keep
            if live_days is None
            else timedelta(days=live_days)
        )
        with watching("collect") as progress:
            failing.can_resume("Go on at any time with: matengine collect")
            told = garbage.collect(
                where.conn, where.datastack, live_horizon=horizon, progress=progress
            )
        wanted = compacting.worthwhile(where.conn, where.datastack) if may_compact else []
        compacted = _collected_disk(where, data, wanted) if wanted else []
    if as_json:
        console.show_json({"epochs": told.epochs, "tables": told.tables, "compacted": compacted})
        return
    if told.tables:
        console.show_table(
            ["table", "rows removed", "bytes"], [(t.table, t.rows, t.bytes) for t in told.tables]
        )
    else:
        console.show("nothing to collect: every row is shown by a version or a recent epoch")
    if compacted:
        _show_sizes(compacted)


def _collected_disk(where: Place, data: Data, wanted: list[str]) -> list[dict[str, Any]]:
    """Compact the tables that are worth it, unless another run is at work."""
    try:
        return _compact(where, data, wanted, wait=True)[1]
    except Conflict as conflict:
        console.say(f"{conflict} Then, to get the disk back: matengine compact {' '.join(wanted)}")
        return []


def compact(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE…", help="Default: all tables.")
    ] = None,
    data: Data = None,
    datastack: Datastack = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")] = True,
    as_json: Json = False,
) -> None:
    """Write histories anew in the order of their root ids: smaller, and faster to read.

    Readers go on; no version is made meanwhile, and no version changes. A table needs its own
    size of disk once more until it is done. Worth it about once a year, or after many versions
    were dropped and collected.

    Examples:

      matengine compact --data box

      matengine compact synapses --data box
    """
    with place(data, datastack) as where:
        run, done = _compact(where, data, tables or [], wait=wait)
    if as_json:
        console.show_json({"run_id": run.run_id, "status": run.status, "tables": done})
    elif run.status == "running":
        console.show(f"run {run.run_id} is under way; see: matengine runs {run.run_id}")
    else:
        _show_sizes(done)


def _compact(
    where: Place, data: Data, tables: list[str], *, wait: bool
) -> tuple["Run", list[dict[str, Any]]]:
    """The run, and the sizes of the tables before and after it."""
    from matengine.engine.runs import runs
    from matengine.engine.versions import compact as compacting

    before = compacting.sizes(where.conn, where.datastack)
    run_id = compacting.start(where.conn, where.datastack, tables)
    failing.can_resume(resume_words(run_id, data, where))
    work(where, run_id, wait=wait or not where.has_workers, what="compact")
    run = runs.get(where.conn, run_id)
    after = compacting.sizes(where.conn, where.datastack)
    if run.status not in ("running", "done"):
        raise MatengineError(f"Run {run_id} has {run.status}: {run.error}")
    return run, [
        {"table": t, "bytes_before": before[t], "bytes_after": after[t]}
        for t in after
        if not tables or t in tables
    ]


def _show_sizes(done: list[dict[str, Any]]) -> None:
    console.show_table(
        ["table", "bytes before", "bytes after"],
        [(t["table"], t["bytes_before"], t["bytes_after"]) for t in done],
    )
