"""Lookups of rows that were just written: at once, but never at the cost of the write."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

import structlog

from matengine import settings
from matengine.engine import datastacks
from matengine.engine.lookup import prompt
from matengine.storage import pools

log = structlog.get_logger(__name__)

# more rows than that are for the workers, where there are any, or for the epoch
MOST_ROWS = 1000
# how long a writer waits; the lookup goes on behind its back
PATIENCE_S = 5.0
_PARALLEL = 2
_pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="lookup")
_free = BoundedSemaphore(_PARALLEL)


def follow(aligned_volume: str, table: str, ids: Sequence[int]) -> None:
    """Look up rows that are committed, for every datastack of the aligned volume. Never raises."""
    if not ids:
        return
    if len(ids) > MOST_ROWS or not _free.acquire(blocking=False):
        _leave_to_workers(aligned_volume)
        return
    task = _pool.submit(_look_up, aligned_volume, table, list(ids))
    task.add_done_callback(lambda _: _free.release())
    try:
        task.result(PATIENCE_S)
    except TimeoutError:
        log.info("a lookup takes long", aligned_volume=aligned_volume, table=table, rows=len(ids))


def _look_up(aligned_volume: str, table: str, ids: list[int]) -> None:
    try:
        with pools.connection(aligned_volume) as conn:
            for datastack in datastacks.names(conn):
                prompt.look_up(conn, datastack, table, ids)
    except Exception as error:
        log.warning("a lookup failed", volume=aligned_volume, table=table, error=repr(error))


def _leave_to_workers(aligned_volume: str) -> None:
    if settings.load().broker_url is None:
        return  # nobody would come
    try:
        with pools.connection(aligned_volume) as conn:
            for datastack in datastacks.names(conn):
                prompt.ask(conn, datastack)
    except Exception as error:
        log.warning("no lookup was started", volume=aligned_volume, error=repr(error))
