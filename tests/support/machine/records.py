"""What is taken down of epochs and versions, and how it is read."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import sql

from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout

Rows = list[dict[str, Any]]


@dataclass
class Record:
    """An epoch as it was when it was made. Ids that are not known are None in `rows`."""

    time: datetime
    rows: dict[str, Rows]
    digests: dict[str, str] = field(default_factory=dict)


@dataclass
class Told:
    """What people have said of a version."""

    epoch: int
    status: str = "AVAILABLE"
    pinned: bool = False
    name: str | None = None
    due: bool = field(default=False, compare=False)  # its expiry date has come


def query(where: Layout, epoch: int) -> sql.Composed:
    """All that an epoch says of a table, in the order of ids."""
    columns = [
        sql.SQL("ST_{f}({c}) AS {name}").format(
            f=sql.SQL(axis.upper()),
            c=sql.Identifier(column.name),
            name=sql.Identifier(f"{column.name}_{axis}"),
        )
        if column.sql_type.startswith("geometry")
        else sql.Identifier(column.name)
        for column in where.columns
        for axis in ("xyz" if column.sql_type.startswith("geometry") else "-")
    ]
    return sql.SQL(
        "SELECT {columns} FROM {history} AS h WHERE {visible}"
        " AND (SELECT matengine.readable({segmentation}, {epoch})) ORDER BY id"
    ).format(
        columns=sql.SQL(", ").join([sql.Identifier("id"), sql.Identifier("created"), *columns]),
        history=where.history,
        visible=layout.visible("h", epoch),
        segmentation=sql.Literal(where.segmentation),
        epoch=sql.Literal(epoch),
    )


def as_answered(where: Layout, row: dict[str, Any]) -> dict[str, Any]:
    """A row as users see it: 0 for ids that are not known."""
    ids = {c: row[c] or 0 for c in where.supervoxels + where.roots}
    return row | ids


def nothing_is_forgotten(where: Layout, before: Rows, after: Rows) -> None:
    """A supervoxel that was known once is known for ever."""
    known = {(row["id"], row["created"]): row for row in before}
    for row in after:
        old = known.get((row["id"], row["created"]), {})
        assert all(row[c] == old[c] for c in where.supervoxels if old.get(c) is not None)


def held(where: Layout, before: Rows, after: Rows) -> Rows:
    """The difference of all rows of two versions, the obvious way."""
    columns = [c.name for c in where.columns if c.name in where.supervoxels + where.roots]
    old, new = ({row["id"]: row for row in rows} for rows in (before, after))
    found = []
    for row_id in sorted(old.keys() | new.keys()):
        then, now = old.get(row_id), new.get(row_id)
        if then != now:
            kind = "added" if then is None else "removed" if now is None else "changed"
            row: dict[str, Any] = {"id": row_id, "change": kind}
            for c in columns:
                row[f"old_{c}"] = then and (then[c] or 0)
                row[f"new_{c}"] = now and (now[c] or 0)
            found.append(row)
    return found
