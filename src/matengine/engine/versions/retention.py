"""Which versions and epochs go and which stay: pure functions, so they can be tested to the end."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from matengine.engine.versions.catalogue import Version
from matengine.errors import Invalid

# epochs that no version names; a live query looks through all that are kept
MOST_EPOCHS = 1000


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


@dataclass(frozen=True)
class Epoch:
    """A sealed epoch that is kept so far.

    named: by a version that can be read, or is being made; dropped: by one that has expired.
    """

    epoch: int
    time: datetime
    named: bool = False
    dropped: bool = False


def let_go(epochs: Iterable[Epoch], before: datetime, most: int = MOST_EPOCHS) -> list[int]:
    """Which of one datastack's epochs are to be collected, by number.

    The newest stays, and what a version names. Of the others go those whose version has expired,
    and those that never had one, if their time is earlier than `before` or `most` are later.
    """
    there = sorted(epochs, key=lambda e: e.epoch)
    optional = [e for e in there[:-1] if not e.named]
    unnamed = [e for e in optional if not e.dropped]
    beyond = unnamed[: max(0, len(unnamed) - most)]
    return [e.epoch for e in optional if e.dropped or e.time < before or e in beyond]


def age(version: Version) -> tuple[int, int]:
    """Orders versions by the time of what they show, oldest first.

    Numbers alone would not: a version that is frozen while a run makes another shows an earlier
    epoch under a later number.
    """
    return version.epoch, version.version


def _due(version: Version, now: datetime) -> bool:
    return version.expires_on is not None and version.expires_on <= now
