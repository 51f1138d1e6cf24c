"""Whom the servers run as, and where their files can lie.

PostgreSQL refuses to run as root, so root hands it to another user; that user must be able to
enter the folder, which it cannot below a private home.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from matengine.errors import Invalid

KEPT_ELSEWHERE = Path("/var/lib/matengine")
# in this order; the last ones exist on every Debian
CANDIDATES = ("postgres", "redis", "nobody")


@dataclass(frozen=True)
class Account:
    """A user of this machine to run servers as."""

    name: str
    uid: int
    gid: int


def service_account(folder: Path) -> Account | None:
    """The user for servers whose files lie in `folder`; None is ourselves, when we are not root.

    Files that exist already decide: a cluster can only be run by its owner.
    """
    if os.geteuid() != 0:
        return None
    owners = [_owner(folder), *(_account(name) for name in CANDIDATES[:1])]
    owners += [_owner(folder.parent), *(_account(name) for name in CANDIDATES[1:])]
    for account in owners:
        if account:
            return account
    raise Invalid(
        "PostgreSQL does not run as root, and no other user was found to run it as.",
        "Start as an ordinary user, or add one: adduser --system --group postgres",
    )


def place(folder: Path, account: Account | None, *, keep: bool = True) -> Path:
    """Make `folder` private to the account and return where it really is.

    Where the account cannot enter it, the files go to /var/lib/matengine (or, with keep false, the
    temporary folder) and `folder` becomes a link to there. Raises Invalid where neither can be.
    """
    if folder.is_symlink():
        return _linked(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if account is None:
        if folder.stat().st_uid != os.geteuid():
            raise Invalid(
                f"The folder {folder} belongs to another user.",
                "Run as the user who made this box, or choose another folder with --data.",
            )
        folder.chmod(0o700)
        return folder.resolve()
    if can_enter(folder.parent, account):
        give(folder, account)
        return folder.resolve()
    return _place_elsewhere(folder, account, keep)


def give(path: Path, account: Account | None) -> None:
    """Make a file or folder private to the account."""
    if account:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700 if path.is_dir() else 0o600)


def can_enter(folder: Path, account: Account) -> bool:
    """Whether the account may pass through `folder`, asked of the kernel in its name."""
    return (
        subprocess.run(
            ["test", "-x", str(folder.resolve())],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
        ).returncode
        == 0
    )


def remove(folder: Path) -> None:
    """Delete a placed folder, also where it is a link."""
    if folder.is_symlink():
        shutil.rmtree(folder.readlink(), ignore_errors=True)
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _linked(folder: Path) -> Path:
    target = folder.resolve()
    if not target.is_dir():
        raise Invalid(
            f"The server files of this box are gone: {folder} points to {target}.",
            "Bring them back, or remove the link to begin with an empty box.",
        )
    return target


def _place_elsewhere(folder: Path, account: Account, keep: bool) -> Path:
    if any(folder.iterdir()):
        raise Invalid(
            f"The user '{account.name}', who runs PostgreSQL, cannot enter {folder.parent}.",
            "Move the data folder to where that user may go.",
        )
    base = KEPT_ELSEWHERE if keep else Path(tempfile.gettempdir())
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    target = base / f"matengine-{secrets.token_hex(6)}"
    target.mkdir(mode=0o700)
    give(target, account)
    folder.rmdir()
    folder.symlink_to(target)
    return target


def _owner(folder: Path) -> Account | None:
    """The owner of an existing folder, unless that is root or nobody known."""
    try:
        uid = folder.stat().st_uid
        return None if uid == 0 else _account(pwd.getpwuid(uid).pw_name)
    except (FileNotFoundError, KeyError):
        return None


def _account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
