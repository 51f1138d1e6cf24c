"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int | None, str], None]
"""Called with what is done, the total (None where unknown) and a word for it."""


def quiet(done: int, total: int | None, what: str) -> None:
    """Progress that nobody watches."""
