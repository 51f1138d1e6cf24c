"""Names that users choose and that become SQL identifiers."""

import re

from matengine.errors import Invalid

# PostgreSQL cuts identifiers at 63 bytes; history and index names add to a table's name
MAX_BYTES = 48
_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def check_name(name: str, what: str) -> str:
    """`name` if it may name a table, datastack, …; raises Invalid saying why not."""
    if not _NAME.fullmatch(name) or len(name) > MAX_BYTES:
        raise Invalid(
            f"'{name}' cannot name {what}.",
            f"Use at most {MAX_BYTES} lower-case letters, digits and underscores, "
            "not starting with a digit.",
        )
    return name
