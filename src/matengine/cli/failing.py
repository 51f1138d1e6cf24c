"""How a command ends that does not end well."""

import os
import sys
import tempfile
import traceback
from pathlib import Path

from matengine.errors import MatengineError

_resume: list[str] = []


def can_resume(words: str) -> None:
    """What to say should the user interrupt the command from now on."""
    _resume[:] = [words]


def interrupted() -> int:
    """After Ctrl-C: 130, as shells have it."""
    _say(" ".join(["interrupted.", *_resume]))
    return 130


def failed(error: BaseException, *, debug: bool) -> int:
    """One line for an error; returns the exit code."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, MatengineError):
        _say(f"error: {_one_line(str(error))}")
    else:
        words = _one_line(f"{type(error).__name__}: {error}")
        _say(f"error: unexpected {words} (details: {_log(error)})")
    return 1


def misused(message: str, command: str, code: int) -> int:
    """After a command that was not written as it must be."""
    words = _one_line(message)
    words += "" if words.endswith((".", "?")) else "."
    _say(f"error: {words} See: {command} --help")
    return code


def broken_pipe() -> int:
    """After the reader of our answer went away: nothing more can be said there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _log(error: BaseException) -> Path:
    """Write the traceback to a file and give its path."""
    descriptor, name = tempfile.mkstemp(prefix="matengine-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{sys.argv}\n")
        traceback.print_exception(error, file=file)
    return Path(name)
