"""What this server refuses to exceed, and how long it waits."""

import os

from matengine.errors import Invalid

ROWS_VARIABLE = "MATENGINE_QUERY_LIMIT"
# a reader that takes nothing of a piece for so long has gone, or is meant to look so
SEND_TIMEOUT_S = 60.0


def most_rows() -> int | None:
    """The most rows of one answer, None where there is no bound; raises Invalid for nonsense."""
    text = os.environ.get(ROWS_VARIABLE, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not int(text):
        raise Invalid(
            f"{ROWS_VARIABLE} is '{text}', not a number of rows.", "Leave it out: no cap."
        )
    return int(text)
