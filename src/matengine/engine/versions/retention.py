"""Which versions go and which stay: one pure function, so that it can be tested to the end."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from matengine.engine.versions.catalogue import Version
from matengine.errors import Invalid


@dataclass(frozen=True)
class Policy:
    """What a datastack wants beyond the expiry dates of its versions.

    `keep_unpinned`: at most so many versions that nobody pinned, the newest ones; None: all.
    """

    keep_unpinned: int | None = None

    def __post_init__(self) -> None:
        if self.keep_unpinned is not None and self.keep_unpinned < 1:
            raise Invalid(
                f"{self.keep_unpinned} versions cannot be kept.",
                "At least one is: the newest always stays.",
            )


@dataclass(frozen=True)
class Decision:
    """The available and running versions of one datastack in two parts, each by `age`."""

    expire: list[Version]
    keep: list[Version]


def decide(versions: Iterable[Version], now: datetime, policy: Policy) -> Decision:
    """What of one datastack's versions is to expire at `now`.

    A version stays unless its expiry date has come or the policy has newer ones to keep. The
    newest available version, those that are being made and those that are pinned always stay.
    Versions that failed or have expired are not spoken of. Time is taken as given; nothing is read.
    """
    there = sorted((v for v in versions if v.status in ("AVAILABLE", "RUNNING")), key=age)
    available = [v for v in there if v.status == "AVAILABLE"]
    optional = [v for v in available if not v.pinned]
    beyond = optional[: -policy.keep_unpinned] if policy.keep_unpinned else []
    going = [v for v in optional if (v in beyond or _due(v, now)) and v != available[-1]]
    return Decision(going, [v for v in there if v not in going])


def age(version: Version) -> tuple[int, int]:
    """Orders versions by the time of what they show, oldest first.

    Numbers alone would not: a version that is frozen while a run makes another shows an earlier
    epoch under a later number.
    """
    return version.epoch, version.version


def _due(version: Version, now: datetime) -> bool:
    return version.expires_on is not None and version.expires_on <= now
