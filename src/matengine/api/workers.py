"""Telling the workers that there is a run."""

from contextlib import suppress

from kombu.exceptions import OperationalError

from matengine import settings
from matengine.errors import Unavailable


def require() -> None:
    """Raise Unavailable where no worker would ever take up a run."""
    if settings.load().broker_url is None:
        raise Unavailable(
            "This server has no workers, so nothing can be started here.",
            "Set MATENGINE_BROKER_URL and start workers, or use the command line.",
        )


def tell(aligned_volume: str, run_id: int) -> None:
    """Let them take up a run at once; should the message get lost, their next sweep finds it."""
    # here, because the application of the workers reads the settings when it is imported
    from matengine.workflows.tasks import advance

    with suppress(OperationalError):
        advance.apply_async((aligned_volume, run_id), retry=False)
