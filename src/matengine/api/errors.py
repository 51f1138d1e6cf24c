"""One shape for every error: {"code", "message", "hint"}."""

from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from flask import Flask, Response
from psycopg import errors as pg
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from matengine.api.wire import reply
from matengine.errors import MatengineError

log = structlog.get_logger(__name__)

# what was sent may be quoted, but not all of it
_LONGEST = 1000


def install(app: Flask) -> None:
    """Answer expected, HTTP and unexpected errors in that shape."""
    app.register_error_handler(MatengineError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(pg.QueryCanceled, _too_long)
    app.register_error_handler(psycopg.OperationalError, _lost)
    app.register_error_handler(Exception, _unexpected)


def invalid_request(error: ValidationError) -> Response:
    """The answer to parameters or a body that do not fit what the route declares."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return answer(400, f"The request does not fit: {'; '.join(faults)}.", None)


def _expected(error: MatengineError) -> Response:
    return answer(error.status, error.message, error.hint)


def _http(error: HTTPException) -> Response:
    code = error.code or 500
    told = answer(code, error.description or HTTPStatus(code).phrase, None)
    # what the error itself carries, such as Allow with 405, but not its body's description
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            told.headers[name] = value
    return told


def _too_long(error: pg.QueryCanceled) -> Response:
    # no 503, which clients would repeat at once
    return answer(400, "This takes longer than a request may.", "Ask for less at a time.")


def _lost(error: psycopg.OperationalError) -> Response:
    log.warning("the database failed a request", error=str(error))
    return answer(503, "The database broke off in the midst.", "Try again in a moment.")


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return answer(
        500, "Something went wrong inside the server.", "The server's log says what it was."
    )


def answer(code: int, message: str, hint: str | None, **more: Any) -> Response:
    """An error in that shape; `more` for what clients of CAVE look for beside it."""
    told = {"code": code, "message": _short(message), "hint": hint and _short(hint)}
    return reply(told | more, status=code)


def _short(text: str) -> str:
    """Text that can be sent: half a surrogate pair cannot."""
    whole = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return whole.encode(errors="replace").decode()
