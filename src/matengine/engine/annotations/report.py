"""Everything that is wrong with a source of annotations, told before anything is written."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from matengine.engine.annotations import plan as plans
from matengine.engine.annotations import readers, tables
from matengine.engine.annotations.faults import SHOWN, Faults, told
from matengine.engine.annotations.plan import ColumnMap, Ids, Plan
from matengine.engine.annotations.readers import Given, Source
from matengine.engine.annotations.tables import TableMetadata
from matengine.errors import Invalid
from matengine.progress import Progress, quiet
from matengine.storage.atomic import atomic
from matengine.storage.connections import Connection
from matengine.storage.copy import copy_columns

_STAGED = ("pg_temp", "matengine_bulk_check")
_CREATE = "CREATE TEMP TABLE matengine_bulk_check (row bigint, id bigint, target bigint)"
_REPEATED = sql.SQL("""
SELECT row, id, count(*) OVER () FROM
  (SELECT row, id, row_number() OVER (PARTITION BY id ORDER BY row) AS nth FROM {staged}) AS s
WHERE id IS NOT NULL AND nth > 1 ORDER BY row LIMIT {shown}
""")
_EXISTING = sql.SQL("""
SELECT s.row, s.id, count(*) OVER () FROM {staged} AS s JOIN {table} AS t USING (id)
ORDER BY s.row LIMIT {shown}
""")
_NO_TARGET = sql.SQL("""
SELECT s.row, s.target, count(*) OVER () FROM {staged} AS s
WHERE s.target IS NOT NULL AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.id = s.target)
ORDER BY s.row LIMIT {shown}
""")


@dataclass
class Report:
    """What `check` found. `rows` counts all rows of the source, `checked` those looked at."""

    table: str
    source: str
    faults: Faults = field(default_factory=Faults)
    rows: int = 0
    checked: int = 0
    largest_id: int = 0
    fingerprint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the source can be loaded."""
        return not self.faults

    def __str__(self) -> str:
        if self.ok:
            return f"{self.source}: {self.rows:,} rows fit into '{self.table}'."
        return f"{self.source} does not fit into '{self.table}':\n{self.faults}"


class Rejected(Invalid):
    """A source that cannot be loaded; `report` says all of why."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report), "Nothing was loaded.")
        self.report = report


def check(
    conn: Connection,
    table: str,
    source: Given,
    *,
    column_map: ColumnMap | None = None,
    ids: Ids = "file",
    progress: Progress = quiet,
) -> Report:
    """Read all of `source` and tell whether it can be loaded, without writing anything.

    Columns are those of the schema by name; a point `pt` is given as `pt_position_x`, `_y`, `_z`
    or as `pt_position` of three numbers each, in voxels of the table's resolution. `id` is
    required unless `ids` is "sequence"; `created`, `deleted` and `superceded_id` may be given.
    Memory is bounded: ids are compared in a temporary table. Raises NotFound, Gone for the table,
    NotFound, Invalid for a source that cannot be read.
    """
    metadata = tables.get_open(conn, table)
    opened = readers.open_source(source)
    report, _ = examine(conn, metadata, opened, column_map, ids, progress=progress)
    return report


def examine(
    conn: Connection,
    metadata: TableMetadata,
    source: Source,
    column_map: ColumnMap | None,
    ids: Ids,
    *,
    skip: int = 0,
    progress: Progress = quiet,
) -> tuple[Report, Plan]:
    """`check` for an opened source, leaving out its first `skip` rows; also how to read it."""
    if ids not in ("file", "sequence"):
        raise Invalid(f"Ids come from the 'file' or the 'sequence', not from '{ids}'.")
    report = Report(metadata.name, source.name)
    plan = plans.make(metadata, source.schema, column_map, ids, report.faults)
    ends: list[Any] = []
    with atomic(conn):
        conn.execute(_CREATE)
        for batch in source.batches():
            ends = [ends[0] if ends else _row(batch, 0), _row(batch, batch.num_rows - 1)]
            done = min(max(skip - report.rows, 0), batch.num_rows)
            _examine_batch(conn, plan, batch.slice(done), report.rows + done + 1, report)
            report.rows += batch.num_rows
            progress(report.rows, None, "rows checked")
        _compare(conn, metadata, plan, report.faults)
        conn.execute("DROP TABLE pg_temp.matengine_bulk_check")
    reading = [metadata.name, ids, sorted((column_map or {}).items()), source.schema.to_string()]
    text = json.dumps([*reading, report.rows, ends], default=str)
    report.fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return report, plan


def _row(batch: pa.RecordBatch, place: int) -> list[Any]:
    """One row as it goes into the fingerprint."""
    return [told(column.slice(place, 1))[0] for column in batch.columns]


def _examine_batch(
    conn: Connection, plan: Plan, batch: pa.RecordBatch, first_row: int, report: Report
) -> None:
    if not batch.num_rows:
        return
    columns = plan.read(batch, first_row, report.faults)
    report.checked += batch.num_rows
    staged = {"id": columns.get("id"), "target": columns.get(plan.target or "")}
    given = {name: column for name, column in staged.items() if column is not None}
    if given:
        numbers = np.arange(first_row, first_row + batch.num_rows)
        copy_columns(conn, _STAGED, pa.table({"row": numbers} | given))
    for name in ("id", "superceded_id"):
        if name in columns:
            largest = pc.max(columns[name]).as_py()
            report.largest_id = max(report.largest_id, largest or 0)


def _compare(conn: Connection, metadata: TableMetadata, plan: Plan, faults: Faults) -> None:
    """Compare the staged ids with each other and with the tables."""
    source = {t.name: t.sources[0] for t in plan.targets}
    questions = []
    if "id" in source:
        questions = [
            (_REPEATED, metadata.name, "repeated id", source["id"], "is in the source before"),
            (_EXISTING, metadata.name, "existing id", source["id"], "is in the table already"),
        ]
    if plan.target in source and metadata.reference_table:
        questions.append(
            (
                _NO_TARGET,
                metadata.reference_table,
                "target",
                source[plan.target],
                f"is no id of the reference table '{metadata.reference_table}'",
            )
        )
    for query, table, kind, column, reason in questions:
        composed = query.format(
            staged=sql.Identifier(*_STAGED),
            table=sql.Identifier("public", table),
            shown=sql.Literal(SHOWN),
        )
        found = conn.execute(composed).fetchall()
        if found:
            rows, shown, totals = zip(*found, strict=True)
            faults.rows(kind, column, reason, rows, shown, totals[0])
