"""When the next epoch without a version is due: one pure function, so that it can be tested.

What a live query costs grows with the rows that differ from the newest epoch, and with how often
that is asked; an epoch costs about the same however few they are. So an epoch is due when rows
times waiting reach a budget. At a steady rate of change, intervals then go by the square root of
what an epoch costs over that rate, as those between checkpoints do (J. W. Young, A first order
approximation to the optimum checkpoint interval, CACM 17, 1974).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from matengine.errors import Invalid

# of the time, so much at most is spent on these epochs
SHARE = 0.05
# differing rows that a live query does not feel, in a table of any size
FEW = 200
# for so long a new datastack is left to those who make versions of its past
FIRST = timedelta(minutes=10)
# doubling a wait more often than this is the same as the longest wait
_DOUBLINGS = 20


@dataclass(frozen=True)
class Pace:
    """How close a datastack is kept. Between two epochs are `least` to `most`.

    target: rows that may differ from the newest epoch, as a part of all. keep: how long an epoch
    without a version is kept.
    """

    active: bool = True
    least: timedelta = timedelta(minutes=1)
    most: timedelta = timedelta(days=1)
    target: float = 0.005
    keep: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        if not timedelta(seconds=1) <= self.least <= self.most:
            raise Invalid(
                "The least time between two epochs is a second or more, and not above the most.",
                "Such as: --least 1m --most 1d.",
            )
        if not 0 < self.target <= 1:
            raise Invalid(
                f"{self.target:g} is no part of the rows.", "Write it as 0.5%, or as 0.005."
            )
        if self.keep < timedelta():
            raise Invalid("Epochs are kept for some time.", "Such as: --keep 7d.")


@dataclass(frozen=True)
class Seen:
    """What the rule goes by.

    rows: of the newest epoch, in all tables; pending: those that differ from it by now, about.
    since: when it was made; where there is none (`first`), when the datastack was.
    past: somebody made it of a time that had long gone by, and has not said that others shall come.
    took: what it took to make. tries: in vain since; tried: the last time.
    """

    rows: int
    pending: int
    since: datetime
    first: bool = False
    past: bool = False
    took: timedelta = timedelta()
    tries: int = 0
    tried: datetime | None = None


def due(pace: Pace, seen: Seen) -> datetime | None:
    """When the next epoch is due, as things stand; None where nothing has changed or it is off.

    Nor is one due after one of the past: more versions of the past may follow, and edits of it, and
    all are made in the order of time.

    Never sooner after the one before than `rest`, never later than `most`, unless tries were in
    vain: then it waits twice as long after each. More rows never make it later.
    """
    if not pace.active or seen.past or not seen.pending:
        return None
    least = rest(pace, seen.took)
    full = seen.pending / max(seen.rows * pace.target, FEW)
    wait = min(pace.most, least / min(full, 1.0))
    if seen.first:
        wait = max(wait, min(FIRST, pace.most))
    moment = seen.since + wait
    if seen.tries and seen.tried:
        again = seen.tried + min(pace.most, least * 2 ** min(seen.tries, _DOUBLINGS))
        moment = max(moment, again)
    return moment


def rest(pace: Pace, took: timedelta) -> timedelta:
    """The shortest wait after an epoch that took so long."""
    return min(pace.most, max(pace.least, took / SHARE))
