"""What a process must know to find its services, read from the environment."""

import os
from dataclasses import dataclass
from pathlib import Path

from matengine.errors import Invalid


@dataclass(frozen=True)
class Settings:
    """Where the services are.

    database_url: libpq URL of the PostgreSQL server, naming its maintenance database.
    broker_url: Celery broker; None where only database work is done.
    data: the folder of a box, where there is one.
    """

    database_url: str
    broker_url: str | None = None
    data: Path | None = None

    def environment(self) -> dict[str, str]:
        """The variables that `load` reads these settings back from."""
        values = {"MATENGINE_DATABASE_URL": self.database_url}
        if self.broker_url:
            values["MATENGINE_BROKER_URL"] = self.broker_url
        if self.data:
            values["MATENGINE_DATA"] = str(self.data)
        return values


def load() -> Settings:
    """Settings of this process; raises Invalid where no database is named."""
    url = os.environ.get("MATENGINE_DATABASE_URL")
    if not url:
        raise Invalid(
            "No database is configured.",
            "Set MATENGINE_DATABASE_URL, or name a box folder with --data DIR.",
        )
    data = os.environ.get("MATENGINE_DATA")
    return Settings(url, os.environ.get("MATENGINE_BROKER_URL"), Path(data) if data else None)


def auth() -> tuple[str, str]:
    """How users are known: MATENGINE_AUTH (`off`, or nothing) and MATENGINE_AUTH_URL."""
    mode = os.environ.get("MATENGINE_AUTH", "").strip().lower()
    return mode, os.environ.get("MATENGINE_AUTH_URL", "").strip()


def token() -> str | None:
    """The token that this program shows to the other CAVE services it asks, where it has one."""
    return os.environ.get("MATENGINE_TOKEN", "").strip() or None


def pace() -> str:
    """How close datastacks are kept where they say nothing else: MATENGINE_PACE, or nothing."""
    return os.environ.get("MATENGINE_PACE", "").strip()


def server_processes() -> int:
    """Processes that answer HTTP requests: MATENGINE_SERVER_PROCESSES, or one a core, at most 4.

    Raises as `whole_number`.
    """
    return whole_number("MATENGINE_SERVER_PROCESSES") or min(len(os.sched_getaffinity(0)), 4)


def whole_number(variable: str) -> int | None:
    """The number above zero in a variable of the environment, None where there is none.

    Raises Invalid for anything else.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise Invalid(
            f"{variable} cannot be '{text}'.", "Give a whole number above zero, or unset it."
        )
    return int(text)


def use(settings: Settings) -> None:
    """Make these the settings of this process and of the ones it starts."""
    os.environ.update(settings.environment())
