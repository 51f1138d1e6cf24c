"""What the server logs, to standard error: one line an event, and plain tracebacks."""

import sys

import structlog


def configure() -> None:
    """Settle how this process logs.

    Tracebacks come without the values of variables, which may be what clients sent: tokens are
    never logged.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
