"""Start and end child processes that never outlive us."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from matengine.box.accounts import Account
from matengine.errors import Unavailable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
PREDECESSOR_PATIENCE_S = 60.0
LOG_LIMIT_BYTES = 16 * 2**20
POLL_S = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


Command = Sequence[str | Path]


def spawn(
    command: Command,
    *,
    log: Path,
    cwd: Path,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, its output appended to `log`.

    It gets `death_signal` when the *thread* that called this ends, however it ends: call it from
    the main thread.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _rotate(log)
    with log.open("ab") as output, _uninterrupted():
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
            preexec_fn=partial(_prepare, os.getpid(), account, death_signal),
        )


def run(command: Command, *, account: Account | None, cwd: Path) -> str:
    """Run a helper program to its end; returns its output, raises RuntimeError with it."""
    with _uninterrupted():
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=clean_environment(),
            preexec_fn=partial(_prepare, os.getpid(), account, signal.SIGKILL),
        )
    if done.returncode != 0:
        raise RuntimeError((done.stderr or done.stdout).strip())
    return done.stdout


def end(
    process: subprocess.Popen[bytes], patience: float, *further: tuple[signal.Signals, float]
) -> int:
    """Wait for a child that was told to end, for `patience` seconds; then insist.

    Each further signal is sent in turn, with its own patience; at last SIGKILL to the child's
    session. Returns its exit code, negative for a signal as in subprocess.
    """
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    for number, more in further:
        if process.poll() is not None:
            break
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(more)
    kill_group(process.pid)
    return process.wait()


def kill_group(pid: int) -> None:
    """SIGKILL to all that is left of a session that `spawn` began."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether the process exists (a zombie does not count)."""
    return _state_and_parent(pid)[0] not in ("", "Z")


def adopt_orphans() -> None:
    """Become the parent of what our dying children leave behind, in place of init."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_orphans(ours: Container[int]) -> None:
    """SIGKILL to all direct children of this process but `ours`, and to their children in turn."""
    while orphans := [pid for pid in children() if pid not in ours]:
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def kill_strays(program: str, cwd: Path) -> None:
    """SIGKILL to processes of this program that still work in a folder whose server is dead."""
    for pid in _processes():
        with suppress(OSError):
            process = Path(f"/proc/{pid}")
            if (process / "cwd").readlink() == cwd and (
                (process / "comm").read_text().strip() == program
            ):
                os.kill(pid, signal.SIGKILL)


def await_predecessor(pid: int, mark: str, name: str, folder: Path) -> None:
    """Wait for a server that a killed supervisor left behind; its death signal is under way.

    mark: what its command line contains, because the number may belong to another process by now.
    Raises Unavailable where it does not end.
    """
    if wait_until(lambda: not alive(pid) or mark not in _command_line(pid), PREDECESSOR_PATIENCE_S):
        return
    raise Unavailable(
        f"A {name} server (process {pid}) still runs in {folder}.", f"Stop it: kill -INT {pid}"
    )


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False where it did not within this many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def clean_environment() -> dict[str, str]:
    """An environment for servers: without the PG* variables and locale of whoever starts them."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log file in one."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return " | ".join(text.strip().splitlines()[-lines:])


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back for a moment: one that falls into Python's hooks around a fork is lost."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def _prepare(parent: int, account: Account | None, death_signal: signal.Signals) -> None:
    """Between fork and exec: change the user, then tie the child's life to ours."""
    if account:
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
    # the change of user clears the death signal, so it is asked for after it
    _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != parent:
        os._exit(1)


def _rotate(log: Path) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))


def _command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return b" ".join(words).decode(errors="replace")


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def children() -> list[int]:
    """The process ids of this process's direct children."""
    return [pid for pid in _processes() if _state_and_parent(pid)[1] == os.getpid()]


def _state_and_parent(pid: int) -> tuple[str, int]:
    """From /proc/PID/stat, whose second field may hold blanks and brackets; ("", 0) for none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0], int(fields[1])
