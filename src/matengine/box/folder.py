"""The data folder of a box: its parts, and the lock that says who uses it."""

import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matengine.box.private import read_private, write_private
from matengine.box.process import POLL_S, alive
from matengine.box.report import say
from matengine.errors import Invalid

UP, COMMAND = "up", "command"


@dataclass(frozen=True)
class BoxFolder:
    """Paths inside the data folder."""

    path: Path

    @property
    def services(self) -> Path:
        """PostgreSQL and Redis: belongs to the user they run as, may link elsewhere."""
        return self.path / "services"

    @property
    def lock(self) -> Path:
        return self.path / "box.lock"

    @property
    def state(self) -> Path:
        """Who uses the box now; only to be believed while the lock is held."""
        return self.path / "box.json"

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def workplace(self, name: str) -> Path:
        """Where one of our processes runs and keeps what it must remember."""
        return self.path / "run" / name

    def make(self) -> None:
        """Make what is missing; raises Invalid where that is not allowed."""
        try:
            (self.path / "logs").mkdir(parents=True, exist_ok=True)
            self.lock.touch(mode=0o600)
        except OSError as error:
            raise Invalid(
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                "Choose another with --data DIR.",
            ) from error


@dataclass(frozen=True)
class Holder:
    """The process that uses a box. `url`: where its server answers, once everything is ready."""

    pid: int
    purpose: str  # UP or COMMAND
    url: str | None = None


# has the lock, but has not said yet what for
UNKNOWN = Holder(0, COMMAND)


class BoxLock:
    """An exclusive lock on a box, which the kernel gives back when its holder dies."""

    def __init__(self, folder: BoxFolder) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._purpose = COMMAND

    def take(self, purpose: str, stop_waiting: Callable[[Holder], bool]) -> Holder | None:
        """Become the holder, waiting for others in turn; None where that is done.

        While there is another holder, `stop_waiting` is asked with it; where it says so, that
        holder is returned and the lock is not ours.
        """
        self._folder.make()
        told = False
        while not self._try():
            holder = self.holder() or UNKNOWN
            if stop_waiting(holder):
                return holder
            if holder is not UNKNOWN and not told:
                doing = "starts" if holder.purpose == UP else "uses"
                say(f"waiting for process {holder.pid}, which {doing} {self._folder.path}")
                told = True
            time.sleep(POLL_S)
        self._purpose = purpose
        self.tell(None)
        return None

    def tell(self, url: str | None) -> None:
        """Say what we, the holder, do; `url` where the box is up and ready."""
        write_private(self._folder.state, vars(Holder(os.getpid(), self._purpose, url)))

    def _try(self) -> bool:
        descriptor = os.open(self._folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            self._folder.state.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> Holder | None:
        """Who holds the lock, as far as they have said so."""
        try:
            holder = Holder(**read_private(self._folder.state))
        except FileNotFoundError:
            return None
        return holder if alive(holder.pid) else None
