"""Boxes: run everything for one folder on this machine; say how it is."""

import os
from typing import Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.options import Data, Json
from matengine.cli.services import folder_of_environment, services
from matengine.errors import Invalid

DEFAULT_PORT = 8000
# settings of the server that may be such that it cannot start
SERVER_SETTINGS = ("HOSTS", "SERVICES", "AUTH", "AUTH_URL", "MAX_BODY_BYTES")


def add_to(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("status")(status)


def up(
    data: Data = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the server listens.")] = (
        DEFAULT_PORT
    ),
) -> None:
    """Start everything for a folder and keep it running until Ctrl-C.

    PostgreSQL, Redis, worker, scheduler and server run privately on this machine. When all
    answer, one line on stdout says `ready` and the server's address.

    Example: matengine up --data box --port 8000
    """
    from matengine.box.box import Box

    folder = data or folder_of_environment()
    if folder is None:
        raise Invalid("Which folder is the box in?", "Name one: matengine up --data DIR.")
    _check_server_settings()
    Box(folder, port).up()


def _check_server_settings() -> None:
    """Raise here, before anything is started, what the server would die of."""
    if any(os.environ.get(f"MATENGINE_{name}") for name in SERVER_SETTINGS):
        from matengine.api.app import create_app

        create_app()


def status(data: Data = None, as_json: Json = False) -> None:
    """How things are: services, datastacks, their newest version, runs under way.

    Example: matengine status --data box
    """
    with services(data) as reached:
        stacks = _datastacks()
    if as_json:
        console.show_json(vars(reached) | {"datastacks": stacks})
        return
    console.show(
        "workers: running" if reached.has_workers else "workers: none; commands work themselves"
    )
    if reached.url:
        console.show(f"server:  {reached.url}")
    console.show_table(
        ["datastack", "aligned volume", "tables", "newest version", "at", "changes queued", "runs"],
        [
            (
                stack["datastack"],
                stack["aligned_volume"],
                stack["tables"],
                stack["version"],
                stack["version_time"],
                stack["queued_changes"],
                ", ".join(f"{run['run_id']} {run['workflow']}" for run in stack["running"]),
            )
            for stack in stacks
        ],
    )


def _datastacks() -> list[dict[str, Any]]:
    from matengine.engine import datastacks
    from matengine.engine.annotations.tables import list_tables
    from matengine.engine.runs import runs
    from matengine.engine.versions import catalogue
    from matengine.storage.connections import aligned_volumes, database_url, open_connection

    found = []
    for volume in aligned_volumes():
        with open_connection(database_url(volume)) as conn:
            for name in datastacks.names(conn):
                known = [v for v in catalogue.versions(conn, name) if v.status == "AVAILABLE"]
                active = [run for run in runs.listed(conn, name) if run.status == "running"]
                queued = conn.execute(
                    "SELECT coalesce(sum(last_id - first_id + 1), 0)::bigint"
                    " FROM matengine.change WHERE datastack = %s",
                    (name,),
                ).fetchone()
                found.append(
                    {
                        "datastack": name,
                        "aligned_volume": volume,
                        "tables": len(list_tables(conn)),
                        "version": known[-1].version if known else None,
                        "version_time": known[-1].time if known else None,
                        "queued_changes": queued[0] if queued else 0,
                        "running": [
                            {"run_id": r.run_id, "workflow": r.workflow, "phase": r.phase}
                            for r in active
                        ],
                    }
                )
    return found
