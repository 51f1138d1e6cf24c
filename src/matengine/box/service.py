"""What the supervisor knows of each child: launch it, ask whether it is ready, stop it."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from matengine.box.process import end, kill_group, tail, wait_until
from matengine.errors import Unavailable

# crash recovery of a box replays at most max_wal_size; slow disks need minutes for it
START_PATIENCE_S = 600.0
ATTEMPTS = 3


class Service(ABC):
    """One child process of a box."""

    name: str
    log: Path
    stop_steps: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 15),)
    process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def launch(self) -> None:
        """Prepare and start the process without waiting for it; sets `process`."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the process that we launched answers now."""

    @property
    def running(self) -> bool:
        """Whether the process that we launched is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Launch and wait until ready; raises Unavailable with the end of the log otherwise."""
        self.launch()
        self.await_ready()

    def await_ready(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Wait for what was launched; raises Unavailable with the end of the log.

        `give_up` is asked while waiting; where it says so, this returns at once. A process that
        ends is tried again, because something else may just have taken its port.
        """
        for attempt in range(1, ATTEMPTS + 1):
            wait_until(lambda: give_up() or not self.running or self.ready(), START_PATIENCE_S)
            if give_up() or (self.running and self.ready()):
                return
            if self.running:
                break
            self.bury()
            if attempt < ATTEMPTS:
                time.sleep(attempt)
                self.launch()
        reason = "did not become ready" if self.running else "ended while it started"
        self.stop()
        raise Unavailable(f"{self.name} {reason}: {tail(self.log)}", f"Its log is {self.log}.")

    def stop(self) -> None:
        """Stop the process with all that belongs to it; nothing happens where none runs."""
        self.ask_to_stop()
        self.await_stop()

    def ask_to_stop(self) -> None:
        """Send the first of the signals that stop it."""
        if self.process is not None:
            self.process.send_signal(self.stop_steps[0][0])

    def await_stop(self) -> None:
        """Wait for what was asked to stop, and insist."""
        if self.process is not None:
            (_, patience), *further = self.stop_steps
            end(self.process, patience, *further)
            self.process = None

    def bury(self) -> int:
        """Clear away what a dead process left behind; returns its exit code."""
        assert self.process is not None
        code = self.process.wait()
        kill_group(self.process.pid)
        self.process = None
        return code
