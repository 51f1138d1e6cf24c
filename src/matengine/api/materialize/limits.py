"""What this server refuses to exceed, and how long it waits."""

from flask import request

from matengine import settings

ROWS_VARIABLE = "MATENGINE_QUERY_LIMIT"
SEND_VARIABLE = "MATENGINE_SEND_TIMEOUT"
# from the question to the last row; whoever reads slowly needs it for the rows
ANSWER_S = 600.0
# who takes nothing of a piece for so long has gone, or might as well have
SEND_S = 60


def most_rows() -> int | None:
    """The most rows of one answer, None where there is no bound; raises Invalid for nonsense."""
    return settings.whole_number(ROWS_VARIABLE)


def send_timeout_s() -> int:
    """How long a piece of an answer may take on its way; raises Invalid for nonsense."""
    return settings.whole_number(SEND_VARIABLE) or SEND_S


def bound_sending() -> None:
    """Cut off whoever sent this request once a piece of the answer is too long on its way."""
    socket = request.environ.get("gunicorn.socket")
    if socket is not None:
        socket.settimeout(send_timeout_s())
