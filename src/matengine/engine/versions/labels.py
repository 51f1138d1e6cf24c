"""What people say of versions: names to cite them by, pins, notes, expiry dates."""

from dataclasses import replace
from datetime import datetime

from psycopg import errors as pg
from psycopg import sql

from matengine.engine.versions import catalogue
from matengine.engine.versions.catalogue import Version
from matengine.errors import Conflict, Gone, Invalid, NotFound, did_you_mean
from matengine.storage.connections import Connection

NEWEST = "newest"
# would read as a moment, not as a version
_RESERVED = (NEWEST, "latest", "live", "now")
MAX_NAME = 100

Reference = str | int
"""How a version is addressed: by its number, by its name, or as "newest"."""


def find(conn: Connection, datastack: str, reference: Reference) -> Version:
    """The available version that is meant.

    Raises NotFound, or Gone for one that failed, has expired or is still being made.
    """
    if reference == NEWEST:
        return catalogue.newest(conn, datastack)
    return catalogue.version(conn, datastack, look_up(conn, datastack, reference).version)


def readable(conn: Connection, datastack: str, reference: Reference) -> Version:
    """The version that is meant, if it can be read, also where it has expired.

    Raises NotFound, or Gone for one that failed, is being made, or has been collected.
    """
    if reference == NEWEST:
        return catalogue.newest(conn, datastack)
    if isinstance(reference, str):
        reference = look_up(conn, datastack, reference).version
    return catalogue.readable(conn, datastack, reference)


def look_up(conn: Connection, datastack: str, reference: Reference) -> Version:
    """The version of a number or name, whatever its status; raises NotFound."""
    if reference == NEWEST:
        return catalogue.newest(conn, datastack)
    known = catalogue.versions(conn, datastack)
    number = _number(reference)
    for version in known:
        if version.version == number or version.name == reference:
            return version
    if number is not None:
        catalogue.version(conn, datastack, number)  # says which there are
    names = [v.name for v in known if v.name]
    raise NotFound(
        f"'{datastack}' has no version called '{reference}'.",
        did_you_mean(str(reference), names)
        or "Give a number, a name or 'newest'; see: matengine versions.",
    )


def _number(reference: Reference) -> int | None:
    if isinstance(reference, int):
        return reference
    digits = reference.isascii() and reference.isdigit() and len(reference) <= 18
    return int(reference) if digits else None


def name(conn: Connection, datastack: str, reference: Reference, new_name: str | None) -> Version:
    """Give a version a name, or take its name away; a name belongs to one version at most.

    Raises Invalid for a name that cannot be one and Conflict where another version has it.
    """
    if new_name is None:
        return _set(conn, datastack, look_up(conn, datastack, reference), name=None)
    _check(new_name)
    version = find(conn, datastack, reference)
    try:
        with conn.transaction():
            return _set(conn, datastack, version, name=new_name)
    except pg.UniqueViolation:
        other = look_up(conn, datastack, new_name).version
        raise Conflict(
            f"Version {other} of '{datastack}' is called '{new_name}'.",
            f"Take the name from it first: matengine name {other} --off.",
        ) from None


def _check(new_name: str) -> None:
    if (
        not 0 < len(new_name) <= MAX_NAME
        or new_name != new_name.strip()
        or not new_name.isprintable()
    ):
        raise Invalid(
            f"{new_name!r} cannot name a version.",
            f"Use one line of at most {MAX_NAME} characters, without blanks around it.",
        )
    if _number(new_name) is not None or new_name.lower() in _RESERVED:
        raise Invalid(
            f"'{new_name}' cannot name a version: it means something else already.",
            "Use a name such as 'v1.0'.",
        )


def pin(conn: Connection, datastack: str, reference: Reference, *, on: bool = True) -> Version:
    """Pin a version, so that nothing can make it expire, or take the pin away."""
    version = find(conn, datastack, reference)
    return _set(conn, datastack, version, pinned=on)


def note(conn: Connection, datastack: str, reference: Reference, text: str) -> Version:
    """Say something of a version, whatever its status; empty: nothing."""
    return _set(conn, datastack, look_up(conn, datastack, reference), note=text)


def expire_on(
    conn: Connection, datastack: str, reference: Reference, when: datetime | None
) -> Version:
    """Let a version go at a time, or with None never. One that is pinned stays all the same."""
    return _set(conn, datastack, find(conn, datastack, reference), expires_on=when)


def _set(
    conn: Connection, datastack: str, version: Version, **changed: str | bool | datetime | None
) -> Version:
    """Change columns of a version that stays what it is; raises Gone where it expired meanwhile."""
    ((column, value),) = changed.items()
    done = conn.execute(
        sql.SQL(
            "UPDATE matengine.version SET {} = %s"
            " WHERE datastack = %s AND version = %s AND status = %s"
        ).format(sql.Identifier(column)),
        (value, datastack, version.version, version.status),
    )
    if not done.rowcount:
        raise Gone(f"Version {version.version} of '{datastack}' has just changed its status.")
    return replace(version, **changed)  # type: ignore[arg-type]
