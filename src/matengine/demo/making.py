"""Make a version with the workers of the box, and measure what it cost."""

import time
from dataclasses import dataclass
from datetime import datetime

from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, epoch
from matengine.errors import MatengineError
from matengine.storage.connections import Connection, database_url

# all that an epoch writes: histories, what is staged, the catalogue
_BYTES = """
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace IN
  (SELECT oid FROM pg_namespace WHERE nspname IN ('history', 'staging', 'matengine'))
"""


@dataclass(frozen=True)
class Stage:
    """The datastack that the demo is about."""

    conn: Connection
    aligned_volume: str
    datastack: str

    @property
    def conninfo(self) -> str:
        return database_url(self.aligned_volume)


@dataclass(frozen=True)
class TableCost:
    """A table in a version, and what the version wrote of it."""

    table: str
    rows: int
    rows_added: int
    rows_closed: int
    gaps: int


@dataclass(frozen=True)
class Made:
    """A version and its cost. `bytes` is growth on disk, `wal_bytes` all that was logged."""

    version: int
    time: datetime
    note: str
    operations: int
    seconds: float
    bytes: int
    wal_bytes: int
    tables: list[TableCost]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def rows_added(self) -> int:
        return sum(table.rows_added for table in self.tables)

    @property
    def rows_closed(self) -> int:
        return sum(table.rows_closed for table in self.tables)


def make_version(stage: Stage, at: datetime | None, *, note: str, operations: int) -> Made:
    """Make a version at a time (default: now) and wait for it; raises where its run fails.

    `operations` is only told: how much proofreading came since the version before.
    """
    # the Celery application reads where its broker is when it is imported
    from matengine.workflows.tasks import advance

    size, log = _size(stage)
    started = time.monotonic()
    run_id = epoch.start(
        stage.conn, stage.datastack, "complete", at=at, publish_version=True, note=note
    )
    advance.delay(stage.aligned_volume, run_id)
    run = engine.watch(stage.conninfo, run_id)
    seconds = time.monotonic() - started
    if run.status != "done" or run.version is None or run.epoch is None or run.time is None:
        raise MatengineError(f"Run {run_id} has {run.status}: {run.error}.")
    size_after, log_after = _size(stage)
    found = catalogue.tables_at(stage.conn, stage.datastack, run.epoch)
    tables = [
        TableCost(t.table_name, t.row_count, t.rows_added, t.rows_closed, t.gaps) for t in found
    ]
    stage.conn.commit()
    return Made(
        run.version,
        run.time,
        note,
        operations,
        seconds,
        size_after - size,
        log_after - log,
        tables,
    )


def _size(stage: Stage) -> tuple[int, int]:
    """Bytes on disk, and the position in the write-ahead log."""
    row = stage.conn.execute(
        f"SELECT ({_BYTES}), (pg_current_wal_insert_lsn() - '0/0')::bigint"
    ).fetchone()
    stage.conn.commit()
    assert row is not None
    return int(row[0]), int(row[1])
