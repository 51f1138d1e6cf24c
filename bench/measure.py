"""What a piece of work costs: CPU of all processes, wall time, WAL, peak memory."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.tree import Tree, reset_peak, status
from matengine.storage.connections import Connection


@dataclass
class Cost:
    """CPU seconds are of this process and its ended children, and of PostgreSQL.

    Peaks of memory are without what is shared: this process's above what it held in the beginning,
    and that of the largest process of PostgreSQL. disk_bytes is for the caller to fill in.
    """

    name: str
    cpu_client_s: float = 0.0
    cpu_server_s: float = 0.0
    wall_s: float = 0.0
    wal_bytes: int = 0
    peak_client_bytes: int = 0
    peak_server_bytes: int = 0
    disk_bytes: int = 0

    @property
    def cpu_s(self) -> float:
        return self.cpu_client_s + self.cpu_server_s

    @property
    def peak_bytes(self) -> int:
        return self.peak_client_bytes + self.peak_server_bytes


@contextmanager
def cost(name: str, conn: Connection, postmaster: int) -> Iterator[Cost]:
    """Measure the block; `postmaster` is the process id of the PostgreSQL server."""
    found = Cost(name)
    me, postgres = os.getpid(), Tree([postmaster])
    reset_peak(me)
    postgres.reset_peaks()
    held = _private(me, "VmRSS")
    client, server = _client_cpu(), postgres.cpu_s()
    wal, wall = _wal(conn), time.perf_counter()
    yield found
    found.wall_s = time.perf_counter() - wall
    found.wal_bytes = _wal(conn) - wal
    found.cpu_client_s = _client_cpu() - client
    found.cpu_server_s = postgres.cpu_s() - server
    found.peak_client_bytes = max(0, _private(me, "VmHWM") - held)
    found.peak_server_bytes = max(
        (_private(pid, "VmHWM") for pid in postgres.pids() if pid != postmaster), default=0
    )


def _wal(conn: Connection) -> int:
    row = conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    conn.commit()
    assert row is not None
    return int(row[0])


def _client_cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _private(pid: int, what: str) -> int:
    """Resident memory without what is shared, as buffers are."""
    return max(0, status(pid, what) - status(pid, "RssShmem"))
