"""Versions: make one, list them."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from matengine.cli import console, failing
from matengine.cli.options import At, Data, Datastack, Json
from matengine.cli.services import Place, place
from matengine.cli.watching import watching
from matengine.errors import Invalid, MatengineError

Version = Annotated[
    bool,
    typer.Option("--version/--no-version", help="Publish a version, or only bring up to date."),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]


def add_to(app: typer.Typer) -> None:
    app.command("materialize")(materialize)
    app.command("versions")(versions)


def materialize(
    data: Data = None,
    datastack: Datastack = None,
    at: At = None,
    version: Version = True,
    note: Annotated[str, typer.Option(help="What people shall know of the version.")] = "",
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, help="Let it go after so many days; default: never.")
    ] = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Bring a datastack to a moment and make that moment a version.

    The cost is what changed since the last time, not the size of the tables.

    Examples:

      matengine materialize --data box --note "before the paper"

      matengine materialize --data box --at 2026-01-31T12:00:00 --no-version
    """
    from matengine.engine.runs import runs
    from matengine.engine.versions import epoch

    with place(data, datastack) as where:
        if not wait and not where.has_workers:
            raise Invalid("Without workers there is nothing to wait for later.", "Leave --no-wait.")
        expires = datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days else None
        run_id = epoch.start(
            where.conn,
            where.datastack,
            "complete" if version else "update_database",
            at=at,
            publish_version=version,
            expires_on=expires,
            note=note,
        )
        failing.can_resume(resume_words(run_id, data, where))
        work(where, run_id, wait=wait)
        run = runs.get(where.conn, run_id)
        answer = _outcome(where, run_id)
        if run.status not in ("running", "done"):
            raise MatengineError(f"Run {run_id} has {run.status}: {run.error}.")
    if as_json:
        console.show_json(answer)
    elif run.status == "running":
        console.show(f"run {run_id} is under way; see: matengine runs {run_id}")
    else:
        _tell(answer)


def work(where: Place, run_id: int, *, wait: bool = True, what: str = "materialize") -> None:
    """Let the workers do a run and watch them, or do it here."""
    from matengine.engine.runs import engine

    if where.has_workers:
        from matengine.workflows.tasks import advance

        advance.delay(where.aligned_volume, run_id)
    if wait:
        with watching(what) as progress:
            go = engine.watch if where.has_workers else engine.drive
            go(where.conninfo, run_id, progress)


def resume_words(run_id: int, data: Path | None, where: Place) -> str:
    """What to say of a run that its user no longer waits for."""
    box = f" --data {shlex.quote(str(data))}" if data else ""
    stack = f" --datastack {where.datastack}"
    if where.has_workers:
        return f"The workers go on; see: matengine runs {run_id}{stack}{box}"
    return (
        f"Go on with: matengine runs {run_id} --resume{stack}{box}"
        f" or give up with: matengine runs {run_id} --cancel{stack}{box}"
    )


def _outcome(where: Place, run_id: int) -> dict[str, Any]:
    """What a run made, table by table."""
    from matengine.engine.runs import runs
    from matengine.engine.versions import catalogue

    run = runs.get(where.conn, run_id)
    made = catalogue.tables_at(where.conn, run.datastack, run.epoch or 0)
    return {
        "run_id": run_id,
        "datastack": run.datastack,
        "status": run.status,
        "error": run.error,
        "version": run.version,
        "epoch": run.epoch,
        "time": run.time,
        "seconds": (run.finished - run.started).total_seconds() if run.finished else None,
        "tables": [_table(t) for t in made] if run.status == "done" else [],
    }


def _table(table: Any) -> dict[str, Any]:
    return {
        "table": table.table_name,
        "schema": table.schema_type,
        "rows": table.row_count,
        "rows_added": table.rows_added,
        "rows_closed": table.rows_closed,
        "gaps": table.gaps,
        "fingerprint": int(table.fingerprint),
    }


def _tell(answer: dict[str, Any]) -> None:
    made = f"version {answer['version']}" if answer["version"] else f"epoch {answer['epoch']}"
    when = console.iso(answer["time"])
    console.show(f"{made} of {answer['datastack']} at {when}, {answer['seconds']:.1f} s")
    columns = ["table", "schema", "rows", "rows_added", "rows_closed", "gaps"]
    console.show_table(
        [c.replace("_", " ") for c in columns],
        [[table[c] for c in columns] for table in answer["tables"]],
    )


def versions(data: Data = None, datastack: Datastack = None, as_json: Json = False) -> None:
    """The versions of a datastack, with what is in them.

    Example: matengine versions --data box
    """
    from matengine.engine.versions import catalogue

    with place(data, datastack) as where:
        found = catalogue.versions(where.conn, where.datastack)
        filled = [
            catalogue.tables_at(where.conn, where.datastack, v.epoch) if v.time else []
            for v in found
        ]
    if as_json:
        console.show_json(
            [
                vars(v) | {"tables": [_table(t) for t in tables]}
                for v, tables in zip(found, filled, strict=True)
            ]
        )
        return
    console.show_table(
        ["version", "name", "time", "status", "expires", "rows", "added", "closed", "gaps", "note"],
        [
            (
                v.version,
                v.name,
                v.time,
                v.status,
                "pinned" if v.pinned else v.expires_on or "never",
                ", ".join(f"{t.table_name} {t.row_count}" for t in tables),
                sum(t.rows_added for t in tables),
                sum(t.rows_closed for t in tables),
                sum(t.gaps for t in tables),
                v.note,
            )
            for v, tables in zip(found, filled, strict=True)
        ],
    )
