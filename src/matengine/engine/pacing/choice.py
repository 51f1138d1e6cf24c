"""How close a datastack is kept: what was settled for it, else for the deployment, else usual."""

import re
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from psycopg import sql

from matengine import settings
from matengine.engine import datastacks
from matengine.engine.pacing.rule import Pace
from matengine.errors import Invalid, did_you_mean
from matengine.storage.connections import Connection

KEYS = tuple(key.name for key in fields(Pace))

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def usual() -> Pace:
    """What the deployment says: MATENGINE_PACE, such as `off` or `least=5m most=12h`."""
    changes: dict[str, Any] = {}
    for word in settings.pace().replace(",", " ").split():
        key, equals, value = word.partition("=")
        if not equals and key in ("on", "off"):
            changes["active"] = key == "on"
        elif key == "target":
            changes[key] = share(value)
        elif key in ("least", "most", "keep"):
            changes[key] = span(value)
        else:
            raise Invalid(
                f"MATENGINE_PACE does not know '{word}'.",
                did_you_mean(key, ("on", "off", *KEYS)) or "Such as: least=5m most=12h keep=3d.",
            )
    return replace(Pace(), **changes)


def get(conn: Connection, datastack: str) -> Pace:
    """How close a datastack is kept; raises NotFound."""
    return replace(usual(), **settled(conn, datastack))


def settled(conn: Connection, datastack: str) -> dict[str, Any]:
    """What was settled for this datastack alone; raises NotFound."""
    datastacks.get(conn, datastack)
    row = conn.execute(
        sql.SQL("SELECT {} FROM matengine.pace WHERE datastack = %s").format(_columns()),
        (datastack,),
    ).fetchone()
    found = zip(KEYS, row, strict=True) if row else ()
    return {key: value for key, value in found if value is not None}


def change(conn: Connection, datastack: str, changes: dict[str, Any]) -> Pace:
    """Settle some keys for a datastack; None leaves one to the deployment again.

    Raises NotFound, and Invalid for a key that is not known and what does not go together.
    """
    for key in changes:
        if key not in KEYS:
            raise Invalid(
                f"'{key}' says nothing of the pace.",
                did_you_mean(key, KEYS) or f"Use one of {', '.join(KEYS)}.",
            )
    datastacks.lock(conn, datastack)
    wanted = settled(conn, datastack) | changes
    pace = replace(usual(), **{key: value for key, value in wanted.items() if value is not None})
    conn.execute(
        sql.SQL(
            "INSERT INTO matengine.pace (datastack, {columns}) VALUES (%s, {values})"
            " ON CONFLICT (datastack) DO UPDATE SET ({columns}) = ROW({told})"
        ).format(
            columns=_columns(),
            values=sql.SQL(", ").join([sql.Placeholder()] * len(KEYS)),
            told=sql.SQL(", ").join(sql.Identifier("excluded", key) for key in KEYS),
        ),
        (datastack, *(wanted.get(key) for key in KEYS)),
    )
    return pace


def _columns() -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, KEYS))


def span(text: str) -> timedelta:
    """A time such as 90s, 5m, 12h, 7d; raises Invalid."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise Invalid(f"'{text}' is no length of time.", "Write it as 90s, 5m, 12h or 7d.")
    try:
        return timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError:
        raise Invalid(f"'{text}' is too long.") from None


def share(text: str) -> float:
    """A part such as 0.5% or 0.005; raises Invalid."""
    number = text.strip().removesuffix("%")
    try:
        return float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise Invalid(f"'{text}' is no part of the rows.", "Write it as 0.5% or 0.005.") from None


def shown(length: timedelta) -> str:
    """A length of time in the largest unit that it is a whole number of, or seconds."""
    seconds = length.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
