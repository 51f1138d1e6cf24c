"""Dropping versions: they cannot be read from then on. Their rows are collected later."""

from contextlib import suppress
from datetime import datetime

import psycopg
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.versions import catalogue, labels, retention
from matengine.engine.versions.catalogue import Version
from matengine.engine.versions.labels import Reference
from matengine.engine.versions.retention import Policy
from matengine.errors import Conflict, Gone
from matengine.storage.connections import Connection

# How long to stand in line for a version's views. Whoever comes to read them waits behind.
LOCK_TIMEOUT = "500ms"


def drop(conn: Connection, datastack: str, reference: Reference) -> Version:
    """Let a version expire at once, with its SQL schema. Commits.

    Raises Conflict for the newest available version, a pinned one and one that is being made,
    Gone for one that is not there any more, and NotFound.
    """
    with conn.transaction():
        datastacks.lock(conn, datastack)  # nobody else drops the one before meanwhile
        version = labels.look_up(conn, datastack, reference)
        number = version.version
        if version.status == "RUNNING":
            raise Conflict(
                f"Version {number} of '{datastack}' is being made.",
                "Cancel its run instead: matengine runs, matengine runs RUN --cancel.",
            )
        catalogue.version(conn, datastack, number)  # raises Gone
        if catalogue.newest(conn, datastack).version == number:
            raise Conflict(
                f"Version {number} is the newest of '{datastack}', which is always kept.",
                "Make another first: matengine materialize.",
            )
        if version.pinned:
            raise Conflict(
                f"Version {number} of '{datastack}' is pinned.",
                f"Take the pin away first: matengine pin {number} --off.",
            )
        conn.execute(
            "UPDATE matengine.version SET status = 'EXPIRED' WHERE datastack = %s AND version = %s",
            (datastack, number),
        )
    conn.commit()
    remove_schemas(conn, datastack)
    return labels.look_up(conn, datastack, number)


def expire_due(
    conn: Connection, datastack: str, now: datetime, policy: Policy | None = None
) -> list[Version]:
    """Drop the versions whose time has come, oldest first. Commits."""
    known = catalogue.versions(conn, datastack)
    conn.commit()
    dropped = []
    for version in retention.decide(known, now, policy or Policy()).expire:
        with suppress(Conflict, Gone):  # pinned or dropped by somebody meanwhile
            dropped.append(drop(conn, datastack, version.version))
    return dropped


def remove_schemas(conn: Connection, datastack: str) -> None:
    """Remove the SQL schemas that versions which expired have left. Commits.

    One that is being read stays until the next call.
    """
    for number in left_schemas(conn, datastack):
        try:
            with conn.transaction():
                conn.execute(
                    sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(LOCK_TIMEOUT))
                )
                conn.execute(
                    sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(
                        sql.Identifier(f"{datastack}__mat{number}")
                    )
                )
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
    conn.commit()


def left_schemas(conn: Connection, datastack: str) -> list[int]:
    """The numbers of versions that have expired and still have their SQL schema."""
    rows = conn.execute(
        "SELECT version FROM matengine.version WHERE datastack = %s AND status = 'EXPIRED'"
        " AND EXISTS (SELECT FROM pg_namespace WHERE nspname = datastack || '__mat' || version)"
        " ORDER BY version",
        (datastack,),
    )
    return [int(number) for (number,) in rows]
