"""The port and password of a private server, remembered in a file that only we can read."""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matengine.errors import Invalid, Unavailable

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Endpoint:
    """Where a private server listens on loopback, and the password it asks for."""

    port: int
    password: str


def read_endpoint(file: Path) -> Endpoint:
    """The remembered endpoint; raises Unavailable where there is none yet."""
    try:
        return Endpoint(**read_private(file))
    except FileNotFoundError:
        raise Unavailable(f"There is no server in {file.parent} yet.") from None


def usable_endpoint(file: Path) -> Endpoint:
    """The remembered endpoint, its port chosen anew where something else has taken it."""
    try:
        endpoint = Endpoint(**read_private(file))
    except FileNotFoundError:
        endpoint = Endpoint(free_port(), secrets.token_hex(16))
        write_private(file, asdict(endpoint))
    if not port_is_free(endpoint.port):
        endpoint = replace(endpoint, port=free_port())
        write_private(file, asdict(endpoint))
    return endpoint


def free_port() -> int:
    """A port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether we could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def read_private(file: Path) -> dict[str, Any]:
    """A JSON object from a file of ours; raises FileNotFoundError, or Invalid with the reason."""
    try:
        value = json.loads(file.read_text())
    except PermissionError:
        raise Invalid(
            f"{file} belongs to another user.", "Run as the user who made this box."
        ) from None
    except json.JSONDecodeError as error:
        raise Invalid(f"{file} is damaged: {error}.") from error
    if not isinstance(value, dict):
        raise Invalid(f"{file} is damaged: it holds no JSON object.")
    return value


def write_private(file: Path, value: dict[str, Any]) -> None:
    """Write a JSON object whole or not at all, readable by its owner alone."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(value, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
