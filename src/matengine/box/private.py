"""Small files that only their owner may read, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from matengine.errors import Invalid


def read_private(file: Path) -> dict[str, Any]:
    """The JSON object in a file; raises FileNotFoundError, or Invalid with the reason."""
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
    """Write a JSON object."""
    write_private_text(file, json.dumps(value, indent=1) + "\n")


def write_private_text(file: Path, text: str) -> None:
    """Write text; a reader sees the old file or the new one, also after a crash."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
