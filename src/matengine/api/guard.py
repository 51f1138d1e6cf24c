"""Who may call a server without logins: this machine's own clients and pages, nobody else.

Any web page may make a browser send requests to a laptop's server. A name that is not the
server's own (DNS rebinding) is refused, and so is a write that comes from another page.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import Forbidden

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_ALLOWED_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, X-Requested-With"
_EXPOSED_HEADERS = (
    "WWW-Authenticate, column_names, dataframe_resolution, Warning, ETag,"
    " matengine-total, matengine-rows, matengine-truncated, matengine-cursor"
)


def install(app: Flask, *, hosts: Iterable[str], origins: Iterable[str]) -> None:
    """Check every request; let pages of `origins` read answers."""
    known_hosts = LOOPBACK | {host.lower() for host in hosts}
    known_origins = {origin.rstrip("/").lower() for origin in origins}

    def known_origin() -> bool:
        origin = request.headers.get("Origin", "").lower()
        return origin in known_origins or origin == request.host_url.rstrip("/").lower()

    @app.before_request
    def check() -> None:
        name = (urlsplit(f"//{request.host}").hostname or "").lower()
        if name not in known_hosts and "*" not in known_hosts:
            raise Forbidden(
                f"This server is not known as '{name}'. Call it by localhost, or name the host in "
                "MATENGINE_HOSTS."
            )
        if "Origin" in request.headers and request.method not in _READS and not known_origin():
            raise Forbidden(
                "Pages of this origin may not write here. List it in MATENGINE_ORIGINS to allow it."
            )

    @app.after_request
    def tell_browsers(response: Response) -> Response:
        if "Origin" in request.headers:
            response.vary.add("Origin")
            if known_origin():
                response.access_control_allow_origin = request.headers["Origin"]
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
                if request.method == "OPTIONS":
                    response.headers["Access-Control-Allow-Methods"] = _ALLOWED_METHODS
                    response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
        return response
