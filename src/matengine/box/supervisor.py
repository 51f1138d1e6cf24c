"""Keep services running: start them in order, restart what dies, stop them in reverse."""

import signal
import time
from collections.abc import Callable, Sequence

from matengine.box.process import children, kill_orphans
from matengine.box.report import say
from matengine.box.service import Service
from matengine.errors import MatengineError

TICK_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 60.0  # who ran this long before it died is started again at once


class Supervisor:
    """Runs services until `stop` is asked for.

    stages: services in starting order; those of one stage start together.
    begun: called with the number of a stage when it is ready, before the next one starts.
    changed: called after a restart; returns the services that must restart with it, because what
        they were told at their start no longer holds.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Service]],
        changed: Callable[[], Sequence[Service]] = tuple,
        begun: Callable[[int], None] = lambda stage: None,
    ) -> None:
        self.services = [service for stage in stages for service in stage]
        self.stopping = False
        self._stages = stages
        self._changed = changed
        self._begun = begun
        self._others = set(children())  # of the program that runs us: none of our business
        self._trouble = {service.name: Trouble() for service in self.services}

    def listen(self) -> None:
        """Stop on SIGINT, SIGTERM and SIGHUP."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def start(self) -> None:
        """Start stage after stage, each when the one before is ready; early back on a signal."""
        for number, stage in enumerate(self._stages):
            if self.stopping:
                return
            for service in stage:
                service.launch()
                self._trouble[service.name].started()
            for service in stage:
                service.await_ready(give_up=lambda: self.stopping)
            if not self.stopping:
                self._begun(number)

    def watch(self) -> None:
        """Restart what dies, until a stop signal."""
        while not self.stopping:
            for service in self.services:
                self._tend(service)
            time.sleep(TICK_S)

    def stop(self) -> None:
        """Stop all stages in reverse order, with whatever they left behind."""
        for stage in reversed(self._stages):
            for service in stage:
                service.ask_to_stop()
            for service in stage:
                service.await_stop()
        self._kill_orphans()

    def _tend(self, service: Service) -> None:
        trouble = self._trouble[service.name]
        if service.running:
            return
        if service.process is not None:
            code = service.bury()
            self._kill_orphans()
            trouble.died()
            say(f"{service.name} ended ({_describe(code)}); starting it again{trouble.when()}")
        if trouble.pausing():
            return
        try:
            service.launch()
        except (MatengineError, OSError) as error:
            trouble.died()
            say(f"{service.name} cannot be started: {error}")
            return
        trouble.started()
        for other in self._changed():
            say(f"{other.name} restarts, because {service.name} moved")
            other.stop()

    def _kill_orphans(self) -> None:
        ours = {s.process.pid for s in self.services if s.process is not None}
        kill_orphans(ours | self._others)

    def _on_signal(self, number: int, frame: object) -> None:
        self.stopping = True


class Trouble:
    """How often a service died lately, and how long to wait before the next start."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started = 0.0
        self._until = 0.0

    def started(self) -> None:
        self._started = time.monotonic()

    def died(self) -> None:
        now = time.monotonic()
        self._deaths = 0 if now - self._started > STEADY_S else self._deaths + 1
        self._until = now + self._pause()

    def pausing(self) -> bool:
        return time.monotonic() < self._until

    def when(self) -> str:
        pause = self._pause()
        return f" in {pause:.0f} s" if pause else ""

    def _pause(self) -> float:
        """0, 1, 2, 4 ... seconds."""
        return min(LONGEST_PAUSE_S, 2.0 ** (self._deaths - 2)) if self._deaths > 1 else 0.0


def _describe(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
