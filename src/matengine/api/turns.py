"""Few requests at work at once, in the order in which they came.

Python runs one thread at a time. Where thirty of them compute, the right to run goes to and fro
between them: each answer costs more, and who came first may be answered last. So a request waits
for its turn, which lasts until its answer begins. Who waits for something else meanwhile, such as
a long statement or a server elsewhere, keeps others waiting for a moment only. The rows that follow
take no turn, so neither do readers that are slow.
"""

from collections import deque
from collections.abc import Iterable
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# one that computes, and two whose rows PostgreSQL is looking for
AT_ONCE = 3
# most answers have begun by then
LONGEST_S = 0.05


class Turns:
    """A WSGI application of which so many calls run at once, unless these take longer."""

    def __init__(
        self,
        application: "WSGIApplication",
        at_once: int = AT_ONCE,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._application = application
        self._at_once = at_once
        self._longest_s = longest_s
        self._lock = Lock()
        # a turn is a lock that opens when it begins
        self._waiting: deque[Lock] = deque()
        self._begun: dict[Lock, float] = {}  # when, in this order

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        turn = self._wait()
        try:
            return self._application(environ, start_response)
        finally:
            self._end(turn)

    def _wait(self) -> Lock:
        turn = Lock()
        turn.acquire()
        with self._lock:
            self._waiting.append(turn)
            self._begin_next()
            # whoever stands further behind need not look sooner whether those before take long
            patience = self._longest_s * (1 + len(self._waiting) // self._at_once)
        while not turn.acquire(timeout=patience):
            with self._lock:
                self._begin_next()
            patience = self._longest_s
        return turn

    def _end(self, turn: Lock) -> None:
        with self._lock:
            self._begun.pop(turn, None)
            self._begin_next()

    def _begin_next(self) -> None:
        """Begin as many turns as there is room for, those first that have waited longest."""
        now = monotonic()
        while self._waiting:
            if len(self._begun) >= self._at_once:
                oldest = next(iter(self._begun))
                if now - self._begun[oldest] < self._longest_s:
                    return
                del self._begun[oldest]
            turn = self._waiting.popleft()
            self._begun[turn] = now
            turn.release()
