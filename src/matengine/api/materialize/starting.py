"""Starting runs, under the names that CAVE's operators know.

Parameters come in the query string, a form or a JSON body. Each answer names the run, which workers
take up; `runs` tells how far it is.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast, get_args

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from matengine.api import places, workers
from matengine.api.auth import current_user
from matengine.api.description import takes
from matengine.api.materialize.paths import API, PREFIX, DatastackPath, LiveTablePath
from matengine.api.materialize.runs import TAG, url_of
from matengine.api.wire import json_body, reply
from matengine.engine import access, upload
from matengine.engine.annotations import tables
from matengine.engine.annotations.plan import Ids
from matengine.engine.lookup import ingest
from matengine.engine.runs import runs
from matengine.engine.versions import compact, epoch, freeze
from matengine.errors import Conflict, Forbidden, Invalid, Unsupported
from matengine.storage.connections import Connection
from matengine.times import now

RUN = f"{API}/materialize/run"
ALL = "datastack/<string:datastack>"
ONE = f"{ALL}/<string:table>"
UPLOADS_VARIABLE = "MATENGINE_UPLOADS"

api = APIBlueprint("materialize_starting", __name__, url_prefix=PREFIX, abp_tags=[TAG])

# query strings and forms do as well
_LIFE = takes(
    {
        "type": "object",
        "description": "Optional; as a query string or a form, too",
        "properties": {
            "days_to_expire": {"type": "integer", "minimum": 1},
            "merge_tables": {"type": "boolean"},
        },
    }
)
_TABLES = takes(
    {
        "type": "object",
        "description": "Optional",
        "properties": {"tables": {"type": "array", "items": {"type": "string"}}},
    }
)
_FILE = takes(
    {
        "type": "object",
        "description": "As a query string or a form, too",
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "minLength": 1},
            "receipt": {"type": "string"},
            "ids": {"enum": ["file", "sequence"]},
            "column_map": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
)

Start = Callable[[Connection], int]


@api.post(f"{RUN}/ingest_annotations/{ALL}", summary="Look up the supervoxels of all new rows")
def ingest_all(path: DatastackPath) -> Response:
    return _started(path.datastack, lambda conn: ingest.start(conn, path.datastack))


@api.post(
    f"{RUN}/ingest_annotations/{ONE}", summary="Look up the supervoxels of a table's new rows"
)
def ingest_one(path: LiveTablePath) -> Response:
    """For whoever may write to the table."""
    return _ingested(path)


@api.post(f"{RUN}/lookup_svid/{ONE}", summary="Look up the supervoxels of a table's new rows")
def lookup_supervoxels(path: LiveTablePath) -> Response:
    """Of all that have none yet, whichever `annotation_ids` are named."""
    return _ingested(path)


@api.post(f"{RUN}/lookup_root_ids/{ALL}", summary="Bring supervoxels and roots up to date")
def lookup_roots(path: DatastackPath) -> Response:
    return _started(path.datastack, lambda conn: _epoch(conn, path.datastack, "update_database"))


@api.post(f"{RUN}/sparse_lookup_root_ids/{ALL}/table/<string:table>", summary="As lookup_root_ids")
def lookup_roots_of(path: LiveTablePath) -> Response:
    """Of all tables: they are always as of one time."""
    return _started(path.datastack, lambda conn: _epoch(conn, path.datastack, "update_database"))


@api.post(f"{RUN}/update_roots/{ALL}", summary="Bring roots up to date")
def update_roots(path: DatastackPath) -> Response:
    return _started(path.datastack, lambda conn: _epoch(conn, path.datastack, "update_roots"))


@api.post(f"{RUN}/update_database/{ALL}", summary="Bring everything up to date, without a version")
def update_database(path: DatastackPath) -> Response:
    return _started(path.datastack, lambda conn: _epoch(conn, path.datastack, "update_database"))


@api.post(
    f"{RUN}/complete_workflow/{ALL}",
    summary="Bring everything up to date, as a version",
    openapi_extensions=_LIFE,
)
def complete_workflow(path: DatastackPath) -> Response:
    """days_to_expire: how long the version is kept; for ever where it is left out.

    merge_tables is accepted and means nothing: tables always are merged. Where another run makes
    a version or brings up to date, the answer is 409 and names it; an epoch that nobody asked for
    is waited for, in the phase `turn`.
    """
    life = _life()

    def start(conn: Connection) -> int:
        return epoch.start(
            conn,
            path.datastack,
            "complete",
            publish_version=True,
            expires_on=None if life is None else now() + life,
        )

    return _started(path.datastack, start)


@api.post(
    f"{RUN}/create_frozen/{ALL}",
    summary="Make a version of what is up to date, at once",
    openapi_extensions=_LIFE,
)
def create_frozen(path: DatastackPath) -> Response:
    """Parameters as complete_workflow; there is a run only where nothing ever was up to date."""
    life = _life()
    with _open(path.datastack) as (conn, _):
        with _naming_the_run(conn, path.datastack):
            frozen = freeze.create_frozen(
                conn, path.datastack, expires_on=None if life is None else now() + life
            )
        if frozen.run_id is None:
            return reply({"run_id": None, "status": "done", "version": frozen.version})
    workers.tell(places.aligned_volume_of(path.datastack), frozen.run_id)
    return _answer(path.datastack, frozen.run_id, version=frozen.version)


@api.post(f"{RUN}/create_virtual/{ALL}", summary="Not supported")
def create_virtual(path: DatastackPath) -> Response:
    access.check_admin(current_user())
    raise Unsupported(
        "There are no virtual versions: a version is kept as long as it is wanted.",
        "Give one a name that people cite: matengine name VERSION NAME.",
    )


@api.post(
    f"{RUN}/compact/{ALL}",
    summary="Write histories anew in the order of their roots",
    openapi_extensions=_TABLES,
)
def compact_tables(path: DatastackPath) -> Response:
    """tables: a list in a JSON body; all where it is left out."""
    only = _given("tables") or []
    if not isinstance(only, list) or not all(isinstance(name, str) for name in only):
        raise Invalid("'tables' is no list of names.", 'Send {"tables": ["synapses"]}.')
    return _started(path.datastack, lambda conn: compact.start(conn, path.datastack, only))


@api.post(
    f"{RUN}/bulk_upload/{ONE}",
    summary="Load a file of this server into a table",
    openapi_extensions=_FILE,
)
def bulk_upload(path: LiveTablePath) -> Response:
    """path: Parquet, Arrow IPC or CSV, below the folder that MATENGINE_UPLOADS names.

    Further parameters: ids ("file" or "sequence"), column_map (JSON: the file's names to ours),
    receipt (a name under which an interrupted load goes on).
    """
    file = _uploaded(_given("path"))
    ids, columns = _given("ids") or "file", _given("column_map") or {}
    if ids not in get_args(Ids) or not isinstance(columns, dict):
        raise Invalid("'ids' is \"file\" or \"sequence\"; 'column_map' maps names to names.")

    def start(conn: Connection) -> int:
        receipt = _given("receipt")
        return upload.start(
            conn,
            path.datastack,
            path.table,
            file,
            receipt=None if receipt is None else str(receipt),
            ids=cast(Ids, ids),
            column_map=columns,
        )

    return _started(path.datastack, start)


def _ingested(path: LiveTablePath) -> Response:
    return _started(
        path.datastack,
        lambda conn: ingest.start(conn, path.datastack, [path.table]),
        table=path.table,
    )


def _epoch(conn: Connection, datastack: str, workflow: str) -> int:
    return epoch.start(conn, datastack, workflow, publish_version=False)


def _started(datastack: str, start: Start, *, table: str | None = None) -> Response:
    """Begin a run and let the workers know.

    For administrators; where it concerns one table, for whoever may write to that.
    """
    with _open(datastack, table) as (conn, aligned_volume), _naming_the_run(conn, datastack):
        run_id = start(conn)
    workers.tell(aligned_volume, run_id)
    return _answer(datastack, run_id)


@contextmanager
def _open(datastack: str, table: str | None = None) -> Iterator[tuple[Connection, str]]:
    user = current_user()
    with places.open_datastack(datastack) as (conn, _):
        if table is None:
            access.check_admin(user)
        else:
            access.check_datastack(user, datastack, "edit")
            access.check_write(user, tables.get_metadata(conn, table))
        workers.require()
        yield conn, places.aligned_volume_of(datastack)


@contextmanager
def _naming_the_run(conn: Connection, datastack: str) -> Iterator[None]:
    """A Conflict tells which run it is with, so that whoever tries again finds their own."""
    try:
        yield
    except Conflict as error:
        conn.rollback()
        found = [r for r in runs.listed(conn, datastack) if _has_its_turn(r)]
        if not found:
            raise
        run = found[0]
        raise Conflict(
            f"Run {run.run_id} ({run.workflow}) is under way for '{datastack}'.",
            f"See {url_of(datastack, run.run_id)}.",
        ) from error


def _has_its_turn(run: runs.Run) -> bool:
    """Whether it makes an epoch, or will do so next."""
    return run.status == "running" and (run.epoch is not None or run.phase == runs.TURN)


def _answer(datastack: str, run_id: int, **more: Any) -> Response:
    told = {"run_id": run_id, "status": "running", "url": url_of(datastack, run_id)}
    return reply(told | more)


def _given(name: str) -> Any:
    """A parameter from the query string, a form or a JSON body; None where it is missing."""
    if name in request.values:
        return request.values[name]
    if request.mimetype != "application/x-www-form-urlencoded" and request.get_data():
        content = json_body()
        if isinstance(content, dict):
            return content.get(name)
    return None


def _life() -> timedelta | None:
    """How long a version is kept, of ?days_to_expire; None: for ever."""
    merge = _given("merge_tables")
    if str(merge).strip().lower() not in ("none", "true", "false", "0", "1"):
        raise Invalid("'merge_tables' is true or false; it means nothing here.")
    days = _given("days_to_expire")
    if days is None or days == "":
        return None
    try:
        life = timedelta(days=int(days))
        _ = now() + life
    except (TypeError, ValueError, OverflowError):
        raise Invalid("'days_to_expire' is no number of days.") from None
    if life <= timedelta():
        raise Invalid("'days_to_expire' is at least one.", "Leave it out to keep it for ever.")
    return life


def _uploaded(name: Any) -> Path:
    """A file below the folder for uploads; raises Invalid, and Forbidden where there is none."""
    folder = os.environ.get(UPLOADS_VARIABLE, "").strip()
    if not folder:
        raise Forbidden(
            "This server loads no files of its own.",
            f"Name the folder that they may lie in: {UPLOADS_VARIABLE}.",
        )
    if not isinstance(name, str) or not name or "\0" in name:
        raise Invalid("Which file?", 'Send {"path": "new_rows.parquet"}.')
    root = Path(folder).resolve()
    file = (root / name).resolve()
    if not file.is_relative_to(root):
        raise Invalid("The file must lie in the folder for uploads.", "Give a name below it.")
    return file
