"""Whole files of annotations into a table, by COPY."""

from contextlib import nullcontext
from dataclasses import dataclass

import pyarrow as pa
from psycopg import errors as pg
from psycopg import sql

from matengine.engine.annotations import ids as numbering
from matengine.engine.annotations import indexes, layout, readers, receipts, rows, tables
from matengine.engine.annotations.faults import Faults
from matengine.engine.annotations.plan import ColumnMap, Ids, Plan
from matengine.engine.annotations.readers import Given, Source
from matengine.engine.annotations.receipts import Receipt
from matengine.engine.annotations.report import Rejected, Report, examine
from matengine.errors import Conflict, Invalid
from matengine.progress import Progress, quiet
from matengine.storage.atomic import atomic
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

BATCH_ROWS = 65_536
# fewer rows are indexed faster as they come
REINDEX_ROWS = 20_000


@dataclass(frozen=True)
class Loaded:
    """`rows` were loaded by this call, behind `before` that earlier calls of the receipt had."""

    rows: int
    before: int
    report: Report


@dataclass(frozen=True)
class _Load:
    conn: Connection
    table: str
    source: Source
    plan: Plan
    report: Report
    receipt: str | None
    leave_indexes: bool
    progress: Progress


def load(
    conn: Connection,
    table: str,
    source: Given,
    *,
    column_map: ColumnMap | None = None,
    ids: Ids = "file",
    receipt: str | None = None,
    commit_batches: bool = False,
    batch_rows: int = BATCH_ROWS,
    leave_indexes: bool = False,
    progress: Progress = quiet,
) -> Loaded:
    """Load all rows of a Parquet, Arrow IPC or CSV file, an Arrow table or arrays by name.

    What columns a source has is told at `report.check`, which runs first: a source with any fault
    raises `report.Rejected` (an Invalid) and nothing is written. Ids come from the source's `id`
    or, with "sequence", from the table; `created`, where not given, is the server's time; `valid`
    is whether `deleted` is null. An empty table gets its indexes after the rows.

    Works in the caller's transaction. With `commit_batches` it commits, first what the caller has
    open, then each `batch_rows` rows: epochs wait for writing transactions, so a load that takes
    minutes should. It needs a `receipt`: the same call under the same name goes on behind the last
    batch that was committed, whatever ended the load, and does nothing once all is loaded. A
    batched load that ended early leaves its indexes to the call that resumes it. Its indexes are
    made several at a time, on connections of their own; with `leave_indexes` they are left to the
    caller, who makes those that the receipt names and finishes it.

    Raises Conflict for another source under a known receipt, and for ids that came up meanwhile.
    """
    if commit_batches and not receipt:
        raise Invalid("A load in batches needs a receipt, to be resumed by.")
    if leave_indexes and not commit_batches:
        raise Invalid("Only a load in batches can leave its indexes to others.")
    if batch_rows < 1:
        raise Invalid("A batch has at least one row.")
    metadata = tables.get_open(conn, table)
    opened = readers.open_source(source)
    known = receipts.find(conn, receipt) if receipt else None
    before = known.rows_done if known else 0
    report, plan = examine(conn, metadata, opened, column_map, ids, skip=before, progress=progress)
    if known and known.fingerprint != report.fingerprint:
        raise Conflict(
            f"The receipt '{known.name}' belongs to another load.",
            "Use another receipt name for another file, table or column map.",
        )
    if not report.ok:
        raise Rejected(report)
    if not (known and known.finished):
        work = _Load(conn, table, opened, plan, report, receipt, leave_indexes, progress)
        _run(work, known, commit_batches, batch_rows)
    return Loaded(report.rows - before, before, report)


def _run(work: _Load, known: Receipt | None, commit_batches: bool, batch_rows: int) -> None:
    conn = work.conn
    if commit_batches and not conn.autocommit:
        conn.commit()
    # either the whole is one step of the caller's transaction, or each batch is one of its own
    whole, step = (
        (nullcontext(), conn.transaction) if commit_batches else (atomic(conn), nullcontext)
    )
    with whole:
        with step():
            later = known.indexes if known else _begin(work)
            numbering.advance(conn, work.table, work.report.largest_id)
        done = known.rows_done if known else 0
        for batch in work.source.batches(batch_rows, done):
            with step():
                if work.receipt:
                    receipts.advance(conn, work.receipt, done, batch.num_rows)
                _copy(work, batch, done + 1)
            done += batch.num_rows
            work.progress(done, work.report.rows, "rows loaded")
        if work.leave_indexes:
            return
        if commit_batches:
            indexes.rebuild_beside(conn, later)
        with step():
            if not commit_batches:
                indexes.rebuild(conn, later)
            if work.receipt:
                receipts.finish(conn, work.receipt)


def _begin(work: _Load) -> list[str]:
    """Open the receipt; the indexes of an empty table go, to be made when the rows are in."""
    empty = work.conn.execute(
        sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(sql.Identifier("public", work.table))
    ).fetchone() == (True,)
    late = empty and work.report.rows >= REINDEX_ROWS
    later = indexes.drop(work.conn, work.table) if late else []
    if work.receipt:
        receipts.begin(work.conn, work.receipt, work.table, work.report.fingerprint, later)
    return later


def _copy(work: _Load, batch: pa.RecordBatch, first_row: int) -> None:
    conn, faults = work.conn, Faults()
    columns = work.plan.read(batch, first_row, faults)
    if faults:
        raise Invalid(f"{work.source.name} changed while it was loaded: {faults}")
    if "id" not in columns:
        columns["id"] = pa.array(numbering.take(conn, work.table, batch.num_rows))
    now = pa.scalar(rows.moment(conn), layout.SYSTEM["created"])
    created = columns.get("created", pa.nulls(batch.num_rows, now.type))
    columns["created"] = created.fill_null(now)
    deleted = columns.get("deleted", pa.nulls(batch.num_rows, now.type))
    columns["valid"] = deleted.is_null()
    try:
        with atomic(conn):
            copy_columns(conn, ("public", work.table), pa.table(columns))
    except pg.UniqueViolation:
        # another transaction took the ids after the check
        numbering.refuse_taken(conn, work.table, columns["id"].to_pylist())
        raise
