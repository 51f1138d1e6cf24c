"""Runs: what workers of the server do."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from matengine.client.server import Server
from matengine.errors import MatengineError, Unavailable

_PAUSE_S = 0.5


@dataclass(frozen=True)
class Run:
    """A run as it was when it was asked for; `units` of work are done of those known so far.

    status: running, done, failed or cancelled. `version` is the one that it makes, if any.
    """

    server: Server
    datastack: str
    run_id: int
    workflow: str
    status: str
    phase: str
    version: int | None
    started: datetime
    finished: datetime | None
    error: str | None
    units_done: int
    units_total: int
    faults: tuple[str, ...]

    @classmethod
    def read(cls, server: Server, told: dict[str, Any]) -> Self:
        """A run as the server tells it."""
        finished = told["finished"]
        return cls(
            server,
            told["datastack"],
            told["run_id"],
            told["workflow"],
            told["status"],
            told["phase"],
            told["version"],
            datetime.fromisoformat(told["started"]),
            datetime.fromisoformat(finished) if finished else None,
            told["error"],
            told["units"]["done"],
            told["units"]["total"],
            tuple(told["faults"]),
        )

    def again(self) -> "Run":
        """The run as it is now."""
        return self._asked("GET")

    def wait(self, timeout_s: float = 3600.0) -> "Run":
        """The run when it is done.

        Raises MatengineError where it fails or is cancelled, Unavailable where it still goes on
        after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        run = self.again()
        while run.status == "running":
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"Run {run.run_id} still goes on after {timeout_s:g} s.", "Wait for it again."
                )
            time.sleep(_PAUSE_S)
            run = self.again()
        if run.status != "done":
            raise MatengineError(f"Run {run.run_id} has {run.status}: {run.error}.")
        return run

    def cancel(self) -> "Run":
        """Stop it and take back what it wrote."""
        return self._asked("DELETE")

    def _asked(self, method: str) -> "Run":
        told = self.server.json(method, "datastack", self.datastack, "runs", self.run_id)
        return Run.read(self.server, told)
