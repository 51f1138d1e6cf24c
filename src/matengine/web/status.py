"""The status page at `/`. Unlike the JSON routes it answers faults with a page, too."""

from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version

import structlog
from flask import Blueprint, Response, g, make_response, render_template
from werkzeug.exceptions import HTTPException

from matengine import settings, times
from matengine.engine.access import LOCAL
from matengine.errors import MatengineError
from matengine.web.overview import ago, box_option, overview

log = structlog.get_logger(__name__)

# nothing from elsewhere, no script at all
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"

page = Blueprint(
    "status",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static/status",
)


@page.get("/")
def show() -> Response:
    # whoever lets users in tells who they are; without logins there is one user
    found = overview(g.get("user", LOCAL))
    now = times.now()
    return _page(
        "status.html",
        found=found,
        now=now,
        box=box_option(settings.load().data),
        ago=lambda time: ago(time, now),
    )


@page.app_template_filter("moment")
def moment(time: datetime) -> str:
    """A time to the millisecond, which is what a version's time is exact to."""
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}"


@page.after_request
def guard(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@page.errorhandler(MatengineError)
def expected(error: MatengineError) -> Response:
    return _fault(error.status, error.message, error.hint)


@page.errorhandler(HTTPException)
def refused(error: HTTPException) -> Response:
    code = error.code or 500
    return _fault(code, error.description or HTTPStatus(code).phrase, None)


@page.errorhandler(Exception)
def unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _fault(
        500, "Something went wrong inside the server.", "The server's log says what it was."
    )


def _fault(code: int, message: str, hint: str | None) -> Response:
    return _page("fault.html", code=code, message=message, hint=hint)


def _page(template: str, code: int = 200, **values: object) -> Response:
    content = render_template(template, code=code, server=version("matengine"), **values)
    response = make_response(content, code)
    response.headers["Cache-Control"] = "no-store"
    return response
