"""The errors a user may see: one helpful sentence, a hint for the next step, an HTTP status."""

from collections.abc import Iterable
from difflib import get_close_matches


class MatengineError(Exception):
    """Base of all expected errors. `message` says what is wrong, `hint` what to do next."""

    status = 500

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class Invalid(MatengineError):
    """The input cannot be right."""

    status = 400


class Unprocessable(Invalid):
    """The input has the right form, but what it says cannot be stored."""

    status = 422


class Unauthorized(MatengineError):
    """Nobody knows who asks. `reason` is CAVE's word for why."""

    status = 401

    def __init__(self, message: str, hint: str | None = None, *, reason: str = "no_token") -> None:
        super().__init__(message, hint)
        self.reason = reason


class Forbidden(MatengineError):
    """Whoever asks may not do this. `data` is what programs want to know of it."""

    status = 403

    def __init__(
        self, message: str, hint: str | None = None, *, data: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.data = data or {}


class NotFound(MatengineError):
    """The named thing does not exist."""

    status = 404


class Incomplete(MatengineError):
    """What is asked for is not all there yet, and whoever asks will not have it so."""

    status = 406


class Conflict(MatengineError):
    """The thing exists already, or something else holds it."""

    status = 409


class Gone(MatengineError):
    """The thing existed and was removed."""

    status = 410


class Unsupported(MatengineError):
    """This engine does not do such a thing, or not yet."""

    status = 501


class Unavailable(MatengineError):
    """An outside service did not answer; trying again later may work."""

    status = 503


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """A hint that names the nearest of `choices`, or lists them where they are few."""
    known = sorted(choices)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"Did you mean '{close[0]}'?"
    if known and len(known) <= 12:
        return f"There are: {', '.join(known)}."
    return None
