"""The port and password of a private server, remembered in a file that only we can read."""

import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from matengine.box.private import read_private, write_private
from matengine.errors import Unavailable

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
