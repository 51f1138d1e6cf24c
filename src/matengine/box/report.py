"""Lines for whoever watches the terminal."""

import sys
from datetime import datetime


def say(line: str) -> None:
    """One line on stderr, with the time; stdout belongs to the answers of commands."""
    print(f"{datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)
