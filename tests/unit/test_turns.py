"""Requests take turns: few at once, first come first served, and nobody waits for the slow."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from matengine.api.turns import Turns

PATIENCE_S = 60.0


class Asking:
    """Calls of an application, each in a thread of its own and known by a number."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.threads: list[threading.Thread] = []
        self.answers: dict[int, Any] = {}

    def ask(self, number: int) -> None:
        def call() -> None:
            self.answers[number] = self.turns({"number": number}, lambda *_: print)

        self.threads.append(threading.Thread(target=call, daemon=True))
        self.threads[-1].start()

    def finish(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


class Work:
    """An application whose calls wait until they are let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gates = {number: threading.Event() for number in range(20)}

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.begun.append(environ["number"])
        assert self.gates[environ["number"]].wait(PATIENCE_S)
        return [b"done"]


@contextmanager
def asking(work: Any, at_once: int, longest_s: float) -> Iterator[Asking]:
    found = Asking(Turns(work, at_once, longest_s))
    yield found
    found.finish()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("at_once", [1, 3])
def test_few_at_once_and_those_first_that_came_first(at_once: int) -> None:
    work = Work()
    with asking(work, at_once, PATIENCE_S) as all_of:
        for number in work.gates:
            all_of.ask(number)
            # each stands in the row, or works, before the next one comes
            until(lambda n=number: len(work.begun) + len(all_of.turns._waiting) == n + 1)
        for number, gate in work.gates.items():
            until(lambda n=number: len(work.begun) == min(n + at_once, len(work.gates)))
            gate.set()
    assert work.begun == list(work.gates)
    assert all_of.answers.keys() == work.gates.keys()


def test_nobody_waits_for_who_takes_long() -> None:
    work = Work()
    with asking(work, 2, 0.001) as all_of:
        for number in work.gates:
            all_of.ask(number)
        until(lambda: len(work.begun) == len(work.gates))
        for gate in work.gates.values():
            gate.set()


def test_rows_that_are_not_read_keep_nobody() -> None:
    def rows() -> Iterator[bytes]:
        yield b"never read"

    with asking(lambda *_: rows(), 1, PATIENCE_S) as all_of:
        for number in range(5):
            all_of.ask(number)
    assert len(all_of.answers) == 5


def test_a_call_that_fails_ends_its_turn() -> None:
    def fails(environ: Any, start_response: Any) -> list[bytes]:
        raise ValueError(environ["number"])

    turns = Turns(fails, 1, PATIENCE_S)
    for number in range(3):
        with pytest.raises(ValueError, match=str(number)):
            turns({"number": number}, print)
