"""Aware UTC times and the chunkedgraph's whole milliseconds."""

from datetime import UTC, datetime, timedelta

from matengine.errors import Invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def now() -> datetime:
    """The present, aware UTC, microseconds kept."""
    return datetime.now(UTC)


def to_ms(time: datetime) -> int:
    """Whole milliseconds since 1970, floored (exact integer arithmetic)."""
    return (time - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The aware UTC time of `ms` milliseconds since 1970."""
    return _EPOCH + int(ms) * _MS


def floor_ms(time: datetime) -> datetime:
    """`time` cut to the millisecond, as a chunkedgraph does."""
    return from_ms(to_ms(time))


def parse_time(text: str) -> datetime:
    """An ISO time as aware UTC; a naive one means UTC, `Z` and offsets are honoured.

    Raises Invalid for anything else.
    """
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"'{text}' is not a time.", "Write it as 2026-01-31T12:00:00 (UTC) or with an offset."
        ) from None
