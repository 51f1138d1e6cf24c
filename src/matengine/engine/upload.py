"""Bulk upload: a file of annotations loaded by a worker, and its points looked up after that.

The rows are committed in batches under a receipt. A worker that dies loses one batch at most; a
run that was cancelled or failed keeps what it loaded, and another run under the same receipt goes
on behind that. The indexes that an empty table gets after its rows are units beside the lookups.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matengine.engine import datastacks
from matengine.engine.annotations import bulk, indexes, receipts, tables
from matengine.engine.annotations.plan import ColumnMap, Ids
from matengine.engine.lookup import ingest
from matengine.engine.runs import runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.errors import NotFound, Unavailable
from matengine.storage.connections import Connection, conninfo_of, open_connection

WORKFLOW = "bulk_upload"
KIND = "bulk"
INDEX = "table_index"


def start(
    conn: Connection,
    datastack: str,
    table: str,
    path: Path,
    *,
    receipt: str | None = None,
    ids: Ids = "file",
    column_map: ColumnMap | None = None,
    look_up: bool = True,
) -> int:
    """Begin to load a file, which workers must be able to read; gives the run. Commits.

    See `bulk.load` for what may be in the file. Without a name of its own the receipt is the
    run's. With `look_up` the supervoxels of the new rows are found at once, ahead of the epoch
    that will want them. Raises NotFound for an unknown datastack, table or file, Gone for a
    deleted table; what is wrong with the rows ends the run.
    """
    file = path.absolute()
    if not file.is_file():
        raise NotFound(f"There is no file {file}.")
    with conn.transaction():
        datastacks.get(conn, datastack)
        tables.get_open(conn, table)
        run_id = runs.enter(
            conn,
            datastack,
            WORKFLOW,
            table=table,
            path=str(file),
            receipt=receipt,
            ids=ids,
            column_map=dict(column_map or {}),
            look_up=look_up,
        )
    conn.commit()
    return run_id


def plan_load(conn: Connection, run: Run) -> None:
    units.plan(conn, run.run_id, KIND, run.parameters["table"])


def plan_lookup(conn: Connection, run: Run) -> None:
    """Units for the indexes, by their place in the receipt, first: they take longest."""
    places = [(place, place) for place, _ in enumerate(_indexes(conn, run))]
    units.plan(conn, run.run_id, INDEX, run.parameters["table"], places)
    if run.parameters["look_up"]:
        ingest.plan_lookup(conn, run)


def load(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of the one unit that loads."""
    wanted, receipt = run.parameters, _receipt(run)
    with _alone(conn, receipt), open_connection(conninfo_of(conn), autocommit=True) as beside:

        def progress(done: int, total: int | None, what: str) -> None:
            units.check(beside, unit)

        loaded = bulk.load(
            conn,
            unit.table_name,
            Path(wanted["path"]),
            column_map=wanted["column_map"],
            ids=wanted["ids"],
            receipt=receipt,
            commit_batches=True,
            batch_rows=bulk.BATCH_ROWS,
            leave_indexes=True,
            progress=progress,
        )
    units.hold(conn, unit)
    units.finish(conn, unit, Effect(rows_added=loaded.before + loaded.rows))
    conn.commit()


def index(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a unit that makes an index."""
    assert unit.first_id is not None
    units.hold(conn, unit)
    # none are left where another run under this receipt made them
    for definition in _indexes(conn, run)[unit.first_id : unit.first_id + 1]:
        indexes.build(conn, definition)
    units.finish(conn, unit, Effect())
    conn.commit()


def end(conn: Connection, run: Run) -> None:
    """All rows and indexes are there."""
    found = receipts.find(conn, _receipt(run))
    if found and not found.finished:
        receipts.finish(conn, found.name)


def _receipt(run: Run) -> str:
    return run.parameters["receipt"] or f"run {run.run_id}"


def _indexes(conn: Connection, run: Run) -> list[str]:
    """The statements that make the indexes which the load has left."""
    found = receipts.find(conn, _receipt(run))
    return found.indexes if found else []


@contextmanager
def _alone(conn: Connection, receipt: str) -> Iterator[None]:
    """No other session loads under this receipt meanwhile; raises Unavailable where one does."""
    key: tuple[Any, ...] = (f"bulk {receipt}",)
    got = conn.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", key).fetchone()
    conn.commit()
    if got != (True,):
        raise Unavailable(f"Another worker still loads under the receipt '{receipt}'.")
    try:
        yield
    finally:
        if not conn.closed:
            conn.rollback()
            conn.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", key)
            conn.commit()
