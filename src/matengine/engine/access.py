"""Who may do what: the one place that decides it, for every table on every path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from matengine.engine.annotations.tables import TableMetadata
from matengine.errors import Forbidden

_ANYONE = "PUBLIC"
_SAME_GROUP = "GROUP"


@dataclass(frozen=True)
class User:
    """Somebody who asks.

    datastacks: what the user may do with each, of "view" and "edit"; an admin may do everything.
    groups: those of the user; owners' groups are told by `shared`: owner's id -> groups.
    """

    user_id: int
    name: str
    admin: bool = False
    groups: frozenset[str] = frozenset()
    datastacks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shared: Mapping[str, frozenset[str]] = field(default_factory=dict)


LOCAL = User(1, "local", admin=True)
"""Whoever is at this machine: the user while logins are off, and of the command line."""


def may_view(user: User, datastack: str, right: str = "view") -> bool:
    """Whether the user may view (or edit) the datastack."""
    return user.admin or right in user.datastacks.get(datastack, frozenset())


def check_datastack(user: User, datastack: str, right: str = "view") -> None:
    """Raise Forbidden where the user may not view (or edit) the datastack."""
    if not may_view(user, datastack, right):
        raise Forbidden(
            f"You may not {right} the datastack '{datastack}'.",
            "Ask its administrators.",
            data={"required_permission": right, "auth_dataset": datastack},
        )


def check_aligned_volume(
    user: User, aligned_volume: str, datastacks: Iterable[str], right: str = "view"
) -> None:
    """Raise Forbidden where the user may not do so with any of the volume's datastacks."""
    if user.admin or any(may_view(user, name, right) for name in datastacks):
        return
    raise Forbidden(
        f"You may not {right} the aligned volume '{aligned_volume}'.",
        "Ask its administrators.",
        data={"required_permission": right, "auth_dataset": aligned_volume},
    )


def check_read(user: User, table: TableMetadata) -> None:
    """Raise Forbidden where the user may not read the annotation table."""
    _check(user, table, table.read_permission, "read")


def may_read(user: User, table: TableMetadata) -> bool:
    """Whether the user may read the annotation table."""
    return _may(user, table, table.read_permission)


def check_write(user: User, table: TableMetadata) -> None:
    """Raise Forbidden where the user may not write to the annotation table."""
    _check(user, table, table.write_permission, "write to")


def check_owner(user: User, table: TableMetadata) -> None:
    """Raise Forbidden for all but the owner of the annotation table and administrators."""
    if not user.admin and table.user_id != str(user.user_id):
        raise Forbidden(
            f"Only its owner may change the table '{table.name}' itself.",
            f"It belongs to user {table.user_id}.",
        )


def check_admin(user: User) -> None:
    """Raise Forbidden for all but administrators."""
    if not user.admin:
        raise Forbidden("Only administrators may do this.")


def _check(user: User, table: TableMetadata, permission: str, what: str) -> None:
    if not _may(user, table, permission):
        raise Forbidden(
            f"You may not {what} the table '{table.name}'.", f"It belongs to user {table.user_id}."
        )


def _may(user: User, table: TableMetadata, permission: str) -> bool:
    if user.admin or permission == _ANYONE or table.user_id == str(user.user_id):
        return True
    theirs = user.shared.get(table.user_id, frozenset()) if permission == _SAME_GROUP else ()
    return not user.groups.isdisjoint(theirs)
