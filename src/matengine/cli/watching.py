"""Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from matengine.cli import console
from matengine.progress import Progress

EVERY_S = 5.0


@contextmanager
def watching(what: str) -> Iterator[Progress]:
    """Something to pass as `progress`; `what` stands before the words of the work itself."""
    if console.err.is_terminal:
        with Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console.err,
            transient=True,
        ) as bar:
            task = bar.add_task(what, total=None)

            def draw(done: int, total: int | None, words: str) -> None:
                bar.update(task, completed=done, total=total, description=f"{what}: {words}")

            yield draw
        return
    yield _Lines(what)


class _Lines:
    """A line when some time has passed since the last one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()

    def __call__(self, done: int, total: int | None, words: str) -> None:
        if time.monotonic() - self._last < EVERY_S:
            return
        self._last = time.monotonic()
        of = "" if total is None else f" of {total}"
        console.say(f"{self._what}: {words} {done}{of}")
