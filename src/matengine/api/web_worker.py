"""A process of the HTTP server: gunicorn's threads, with connections shared evenly and in turns."""

import socket
import time
from typing import TYPE_CHECKING

from gunicorn.workers.gthread import ThreadWorker

from matengine.api.turns import Turns

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# for each connection that a process has; long enough for another one to wake up and be faster
HESITATION_S = 0.0001
LONGEST_HESITATION_S = 0.003


class WebWorker(ThreadWorker):  # type: ignore[misc]
    """Leaves a new connection to a process that has fewer of them.

    All processes listen at one socket and wake up for each new connection, which stays with whom it
    came to. Whoever wakes first would take all of a crowd, and the others would have nothing to do.
    """

    wsgi: "WSGIApplication"

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = Turns(self.wsgi)

    def accept(self, listener: socket.socket) -> None:
        if self.cfg.workers > 1:
            time.sleep(min(LONGEST_HESITATION_S, self.nr_conns * HESITATION_S))
        super().accept(listener)
