"""What a piece of work costs: CPU of all processes, wall time, WAL, peak memory."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matengine.storage.connections import Connection

_TICK = os.sysconf("SC_CLK_TCK")


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
    _reset_peaks(postmaster)
    held = _resident(os.getpid())
    client, server = _client_cpu(), _server_cpu(postmaster)
    wal, wall = _wal(conn), time.perf_counter()
    yield found
    found.wall_s = time.perf_counter() - wall
    found.wal_bytes = _wal(conn) - wal
    found.cpu_client_s = _client_cpu() - client
    found.cpu_server_s = _server_cpu(postmaster) - server
    found.peak_client_bytes = max(0, _peak(os.getpid()) - held)
    found.peak_server_bytes = max(map(_peak, _backends(postmaster)), default=0)


def _wal(conn: Connection) -> int:
    row = conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    conn.commit()
    assert row is not None
    return int(row[0])


def _client_cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _server_cpu(postmaster: int) -> float:
    """The postmaster with the backends that have ended, and those that live."""
    ticks = sum(_times(postmaster)[:4])
    return (ticks + sum(sum(_times(pid)[:2]) for pid in _backends(postmaster))) / _TICK


def _times(pid: int) -> list[int]:
    """utime, stime, cutime, cstime of a process; zeros where it has just ended (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return [0, 0, 0, 0]
    return [int(word) for word in text.rsplit(")", 1)[1].split()[11:15]]


def _backends(postmaster: int) -> list[int]:
    try:
        text = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def _reset_peaks(postmaster: int) -> None:
    """Begin the peaks of resident memory anew (proc(5), clear_refs)."""
    for pid in (os.getpid(), *_backends(postmaster)):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue


def _peak(pid: int) -> int:
    """Peak resident memory without what is shared, as buffers are."""
    return _memory(pid, "VmHWM")


def _resident(pid: int) -> int:
    return _memory(pid, "VmRSS")


def _memory(pid: int, what: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    values = {k: v for k, _, v in (line.partition(":") for line in lines)}
    held, shared = (int(values.get(k, "0 kB").split()[0]) for k in (what, "RssShmem"))
    return max(0, held - shared) * 1024
