"""Runs: what is being done for a datastack, what was, and how to stop it."""

from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from matengine.api.auth import current_user
from matengine.api.materialize.paths import (
    DATASTACK,
    PREFIX,
    DatastackPath,
    open_for_viewing,
)
from matengine.api.wire import Id, reply
from matengine.engine import access
from matengine.engine.runs import engine, runs
from matengine.engine.runs.runs import Run, Tally
from matengine.errors import NotFound
from matengine.storage.connections import Connection

TAG = Tag(name="runs", description="What workers do: bring up to date, freeze, look up, load")
RUNS = f"{DATASTACK}/runs"
# of the units that stumbled, so many are told
_FAULTS = 20

api = APIBlueprint("materialize_runs", __name__, url_prefix=PREFIX, abp_tags=[TAG])


class RunPath(DatastackPath):
    """A run of a datastack."""

    run: Id


class Latest(BaseModel):
    """limit: so many of the latest. status: running, done, failed or cancelled."""

    limit: int = Field(50, ge=1, le=1000)
    status: str | None = None


@api.get(RUNS, summary="The latest runs")
def list_runs(path: DatastackPath, query: Latest) -> Response:
    """Newest first."""
    with open_for_viewing(path.datastack) as (conn, _):
        found = runs.listed(conn, path.datastack, query.limit)
        wanted = [run for run in found if query.status in (None, run.status)]
        return reply([told(run, runs.tally(conn, run.run_id)) for run in wanted])


@api.get(f"{RUNS}/<int:run>", summary="How far a run is")
def get_run(path: RunPath) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        run = _find(conn, path)
        return reply(told(run, runs.tally(conn, run.run_id)))


@api.post(f"{RUNS}/<int:run>/cancel", summary="Stop a run and take back what it wrote")
def cancel_run(path: RunPath) -> Response:
    """A run that has ended stays as it is."""
    return _cancelled(path)


@api.delete(f"{RUNS}/<int:run>", summary="Stop a run and take back what it wrote")
def delete_run(path: RunPath) -> Response:
    """As cancel; the run stays in the list."""
    return _cancelled(path)


def told(run: Run, tally: Tally) -> dict[str, Any]:
    """A run as JSON."""
    return {
        "run_id": run.run_id,
        "datastack": run.datastack,
        "workflow": run.workflow,
        "status": run.status,
        "phase": run.phase,
        "version": run.version,
        "epoch": run.epoch,
        "time": run.time,
        "started": run.started,
        "finished": run.finished,
        "error": run.error,
        "units": {"done": tally.done, "total": tally.total},
        "faults": tally.faults[:_FAULTS],
        "url": url_of(run.datastack, run.run_id),
    }


def url_of(datastack: str, run_id: int) -> str:
    """Where a run is told of."""
    return f"{request.host_url}materialize/api/v3/datastack/{datastack}/runs/{run_id}"


def _cancelled(path: RunPath) -> Response:
    user = current_user()
    with open_for_viewing(path.datastack, user) as (conn, _):
        access.check_admin(user)
        run = _find(conn, path)
        engine.cancel(conn, run.run_id, f"cancelled by {user.name}")
        return reply(told(runs.get(conn, run.run_id), runs.tally(conn, run.run_id)))


def _find(conn: Connection, path: RunPath) -> Run:
    run = runs.get(conn, path.run)
    if run.datastack != path.datastack:
        raise NotFound(f"'{path.datastack}' has no run {path.run}.")
    return run
