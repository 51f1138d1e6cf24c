"""A real server, and a page of a browser that notes what it sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page

from matengine.box.endpoint import LOOPBACK, free_port
from matengine.box.programs import Server
from matengine.engine.runs import engine
from matengine.engine.versions import epoch
from matengine.settings import Settings
from matengine.storage import connections

# the background-networking flags keep Chromium from calling home, which would look like our doing
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
VOLUME, DATASTACK = "sample_av", "sample"
HALF_TIME = datetime(2026, 1, 31, tzinfo=UTC)
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Look:
    """An open page with what its browser asked for and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def at(self, site: "Site", path: str = "/") -> Page:
        """Open a path of a site and wait until nothing more is asked for."""
        self.page.goto(f"{site.url}{path}", wait_until="networkidle")
        return self.page


@dataclass(frozen=True)
class Site:
    """A running server and the settings of its services."""

    url: str
    settings: Settings


@contextmanager
def running_site(folder: Path, settings: Settings) -> Iterator[Site]:
    """gunicorn as a box runs it."""
    server = Server(
        folder / "server", folder / "server.log", lambda: settings, LOOPBACK, free_port()
    )
    server.start()
    try:
        yield Site(server.url, settings)
    finally:
        server.stop()


def materialize(at: datetime | None, note: str) -> None:
    """A version of the sample, made in this process."""
    url = connections.database_url(VOLUME)
    with connections.open_connection(url) as conn:
        run_id = epoch.start(conn, DATASTACK, "complete", at=at, publish_version=True, note=note)
    assert engine.drive(url, run_id).status == "done"
