"""Find the database and broker programs of this machine."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from matengine.errors import Invalid

OLDEST_POSTGRES = 15
DEBIAN_VERSIONS = Path("/usr/lib/postgresql")
INSTALL_HINT = (
    "On Debian or Ubuntu ./mat installs it; by hand: sudo apt-get install"
    " postgresql-15-postgis-3 redis-server (17 on Debian 13, 16 on Ubuntu 24.04)."
)


@dataclass(frozen=True)
class PostgresTools:
    """The programs of one installed PostgreSQL that has PostGIS."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def postgres_tools(major: int | None = None) -> PostgresTools:
    """The newest usable PostgreSQL, or the one of `major` that an existing cluster needs.

    Usable: version 15 or later, with PostGIS. Raises Invalid, naming what to install.
    """
    found = [tools for tools in map(_inspect, _candidates()) if tools]
    usable = [tools for tools in found if major in (None, tools.major)]
    if usable:
        return max(usable, key=lambda tools: tools.major)
    if major is not None:
        raise Invalid(
            f"This box was made with PostgreSQL {major}, which is not installed with PostGIS.",
            f"Install postgresql-{major}-postgis-3, or choose a new folder with --data.",
        )
    raise Invalid(f"No PostgreSQL {OLDEST_POSTGRES} or later with PostGIS was found.", INSTALL_HINT)


def redis_server() -> Path:
    """The Redis (or Valkey) server; raises Invalid, naming what to install."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name, path=_search_path()):
            return Path(path)
    raise Invalid("No Redis server was found.", INSTALL_HINT)


def _search_path() -> str:
    # an ordinary user's PATH on Debian leaves out the sbin folders
    return f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin"


def _candidates() -> list[Path]:
    folders = [path.parent for path in DEBIAN_VERSIONS.glob("*/bin/postgres")]
    if linked := shutil.which("postgres"):
        folders.append(Path(linked).resolve().parent)
    return folders


def _inspect(folder: Path) -> PostgresTools | None:
    postgres, config = folder / "postgres", folder / "pg_config"
    if not postgres.exists() or not (folder / "initdb").exists():
        return None
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, cwd="/")
    # "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)"
    number = answer.stdout.split()[2] if answer.returncode == 0 else "0"
    major = int("".join(c for c in number.split(".")[0] if c.isdigit()) or 0)
    shares = [DEBIAN_VERSIONS.parent.parent / f"share/postgresql/{major}"]
    if config.exists():
        share = subprocess.run([config, "--sharedir"], capture_output=True, text=True, cwd="/")
        shares.append(Path(share.stdout.strip()))
    if major < OLDEST_POSTGRES or not any(
        (s / "extension/postgis.control").exists() for s in shares
    ):
        return None
    return PostgresTools(folder, major)
