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

LONGEST = timedelta(days=3650)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def usual() -> Pace:
    """What the deployment says: MATENGINE_PACE, such as `off` or `least=5m most=12h`."""
    changes: dict[str, Any] = {}
    for word in settings.pace().replace(",", " ").split():
        key, equals, value = word.partition("=")
        if not equals and key in ("on", "off"):
            changes["active"] = key == "on"
        elif key in KEYS and key != "active":
            changes[key] = _value(key, value)
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


def told(pace: Pace) -> dict[str, Any]:
    """The pace as people write it: lengths of time as `5m`."""
    values = {key: getattr(pace, key) for key in KEYS}
    return {k: shown(v) if isinstance(v, timedelta) else v for k, v in values.items()}


def read(wanted: dict[str, Any]) -> dict[str, Any]:
    """Changes as people write them; raises Invalid for a value that says nothing."""
    return {key: _value(key, value) for key, value in wanted.items()}


def _value(key: str, value: Any) -> Any:
    if value is None:
        return None
    if key == "active":
        if not isinstance(value, bool):
            raise Invalid("'active' is true or false.")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid(f"'{key}' cannot be that.", "Such as: 5m, 0.5%.")
    return share(str(value)) if key == "target" else span(str(value))


def _columns() -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, KEYS))


def span(text: str) -> timedelta:
    """A time such as 90s, 5m, 12h, 7d; raises Invalid."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise Invalid(f"'{text}' is no length of time.", "Write it as 90s, 5m, 12h or 7d.")
    length = float(found[1]) * _SECONDS[found[2]]
    if length > LONGEST.total_seconds():
        raise Invalid(f"'{text}' is too long.", f"It may be {shown(LONGEST)}.")
    return timedelta(seconds=length)


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
    for unit, size in reversed(_SECONDS.items()):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
