"""What a process remembers of its questions, for all its threads."""

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

from matengine.storage.connections import Connection, conninfo_of

MOST = 512
Value = TypeVar("Value")


class Memory(Generic[Value]):
    """The latest values, each of a database and of what was asked there; the oldest go."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, Hashable], Value] = {}
        self._lock = threading.Lock()

    def get(self, conn: Connection, asked: Hashable) -> Value | None:
        """What is known of a question; None where nothing is."""
        return self._entries.get((conninfo_of(conn), asked))

    def put(self, conn: Connection, asked: Hashable, value: Value) -> None:
        """Remember a value in place of what was known."""
        key = (conninfo_of(conn), asked)
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= MOST:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = value
