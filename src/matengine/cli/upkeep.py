"""Growing old well: collect what nobody shows, write histories anew in order."""

from datetime import timedelta
from typing import Annotated

import typer

from matengine.cli import console, failing
from matengine.cli.materialize import resume_words, work
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.cli.watching import watching
from matengine.errors import MatengineError


def add_to(app: typer.Typer) -> None:
    app.command("collect")(collect)
    app.command("compact")(compact)


def collect(
    data: Data = None,
    datastack: Datastack = None,
    live_days: Annotated[
        float | None,
        typer.Option(min=0, help="Keep epochs without a version for so long; default: 2."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove the rows that only dropped versions showed, beside readers and writers.

    What a version shows never changes. The freed disk is used by later versions; `matengine
    compact` gives it back to the machine. It can be interrupted at any time, and started again.

    Example: matengine collect --data box
    """
    from matengine.engine.versions import garbage

    horizon = garbage.LIVE_HORIZON if live_days is None else timedelta(days=live_days)
    with place(data, datastack) as where, watching("collect") as progress:
        failing.can_resume("Go on at any time with: matengine collect")
        told = garbage.collect(where.conn, where.datastack, live_horizon=horizon, progress=progress)
    if as_json:
        console.show_json({"epochs": told.epochs, "tables": told.tables})
        return
    if not told.tables:
        console.show("nothing to collect: every row is shown by a version or a recent epoch")
        return
    console.show_table(
        ["table", "rows removed", "bytes"], [(t.table, t.rows, t.bytes) for t in told.tables]
    )


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
    from matengine.engine.runs import runs
    from matengine.engine.versions import compact as compacting

    with place(data, datastack) as where:
        before = compacting.sizes(where.conn, where.datastack)
        run_id = compacting.start(where.conn, where.datastack, tables or ())
        failing.can_resume(resume_words(run_id, data, where))
        work(where, run_id, wait=wait or not where.has_workers, what="compact")
        run = runs.get(where.conn, run_id)
        after = compacting.sizes(where.conn, where.datastack)
        if run.status not in ("running", "done"):
            raise MatengineError(f"Run {run_id} has {run.status}: {run.error}")
    done = [t for t in after if not tables or t in tables]
    if as_json:
        console.show_json(
            {
                "run_id": run_id,
                "status": run.status,
                "tables": [
                    {"table": t, "bytes_before": before[t], "bytes_after": after[t]} for t in done
                ],
            }
        )
    elif run.status == "running":
        console.show(f"run {run_id} is under way; see: matengine runs {run_id}")
    else:
        console.show_table(
            ["table", "bytes before", "bytes after"], [(t, before[t], after[t]) for t in done]
        )
