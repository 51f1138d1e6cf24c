"""A box that runs in a process of its own, for as long as a block lasts."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from matengine import settings
from matengine.box.box import attach
from matengine.box.endpoint import free_port
from matengine.box.folder import BoxFolder, BoxLock
from matengine.box.process import end, spawn, tail, wait_until
from matengine.errors import Unavailable

PATIENCE_S = 120.0


@contextmanager
def starting(data: Path) -> Iterator[Callable[[], str]]:
    """Start `matengine up` and stop it at the end of the block.

    Yields what waits until the box is ready, makes its services those of this process and gives
    the server's address; it raises Unavailable with the reason where the box does not start.
    """
    log = BoxFolder(data).log("up")
    command = [sys.executable, "-m", "matengine", "up", "--data", str(data)]
    process = spawn([*command, "--port", str(free_port())], log=log, cwd=data)
    try:
        yield lambda: _await(process, data, log)
    finally:
        process.send_signal(signal.SIGTERM)
        end(process, PATIENCE_S)


def _await(process: subprocess.Popen[bytes], data: Path, log: Path) -> str:
    lock = BoxLock(BoxFolder(data))

    def ready() -> bool:
        holder = lock.holder()
        return process.poll() is not None or bool(holder and holder.url)

    if not wait_until(ready, PATIENCE_S) or process.poll() is not None:
        raise Unavailable(f"The box did not start: {tail(log)}", f"Its logs are in {log.parent}.")
    with attach(data) as box:
        settings.use(box.settings)
        return box.url or ""
