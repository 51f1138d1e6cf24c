"""What this server refuses to exceed, and how long it waits."""

import os

from flask import request

from matengine.errors import Invalid

ROWS_VARIABLE = "MATENGINE_QUERY_LIMIT"
# from the question to the last row; whoever reads slowly needs it for the rows
ANSWER_S = 1800.0
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


def bound_sending() -> None:
    """Cut off whoever sent this request once they take nothing of the answer for too long."""
    socket = request.environ.get("gunicorn.socket")
    if socket is not None:
        socket.settimeout(SEND_TIMEOUT_S)
