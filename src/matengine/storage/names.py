"""Names that users choose and that become SQL identifiers."""

import hashlib
import re

from matengine.errors import Invalid

# PostgreSQL cuts identifiers at 63 bytes without a word; views and indexes add to a name
MAX_BYTES = 48
_POSTGRES_MAX = 63
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


def joined(table: str, segmentation: str) -> str:
    """The name of what belongs to an annotation table in a segmentation: `table__segmentation`.

    A pair too long for PostgreSQL is cut and told apart by a hash.
    """
    name = f"{table}__{segmentation}"
    if len(name) <= _POSTGRES_MAX:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name[: _POSTGRES_MAX - 12]}__{digest}"


def paired(table: str, segmentation: str) -> str:
    """`joined`, but no two pairs have one name: `a__b` and `c` are not taken for `a` and `b__c`."""
    name = f"{table}__{segmentation}"
    if name.count("__") == 1 and "___" not in name:
        return joined(table, segmentation)
    digest = hashlib.sha256(f"{table}/{segmentation}".encode()).hexdigest()[:10]
    return joined(name[: _POSTGRES_MAX - 12], digest)
