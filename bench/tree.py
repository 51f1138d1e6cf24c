"""CPU and memory of processes with all their children (proc(5))."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


class Tree:
    """Some processes with all that they started."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.roots = roots

    def pids(self) -> list[int]:
        """Each once, also where one of the roots started another."""
        return list({pid: None for root in self.roots for pid in _family(root)})

    def cpu_s(self) -> float:
        """User and system time, also of children that have ended."""
        ticks = sum(sum(_stat(pid)) for pid in self.pids())
        return ticks / _TICK

    def memory(self) -> int:
        """Resident bytes of all, what they share counted once for each."""
        return sum(status(pid, "VmRSS") for pid in self.pids())

    def shared_memory(self) -> int:
        """Resident bytes of all; what several share counts once, in parts (smaps_rollup: Pss)."""
        return sum(_rollup(pid, "Pss") for pid in self.pids())

    def peak(self) -> int:
        """The most resident bytes of each since `reset_peaks`, added up."""
        return sum(status(pid, "VmHWM") for pid in self.pids())

    def reset_peaks(self) -> None:
        for pid in self.pids():
            reset_peak(pid)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        for thread in threads:
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))
    except OSError:
        return  # it has just ended


def _stat(pid: int) -> list[int]:
    """utime, stime, cutime, cstime."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return [int(word) for word in text.rsplit(")", 1)[1].split()[11:15]]


def status(pid: int, what: str) -> int:
    """A line of a process's status, in bytes; 0 where it has just ended."""
    return _kilobytes(Path(f"/proc/{pid}/status"), what)


def _rollup(pid: int, what: str) -> int:
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), what)


def _kilobytes(table: Path, what: str) -> int:
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return 0
    values = {k: v for k, _, v in (line.partition(":") for line in lines)}
    return int(values.get(what, "0 kB").split()[0]) * 1024


def reset_peak(pid: int) -> None:
    """Begin the peak of a process's resident memory anew (clear_refs)."""
    with suppress(OSError):  # it has just ended
        Path(f"/proc/{pid}/clear_refs").write_text("5")
