"""The views of a datastack: make, list, look at, drop."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import errors as pg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.query.views import definition
from matengine.engine.query.views.definition import Definition
from matengine.errors import Conflict, NotFound
from matengine.storage.atomic import atomic
from matengine.storage.connections import Connection
from matengine.storage.names import check_name

_SELECT = (
    "SELECT view_id, datastack, name, description, notice_text, user_id, definition, created"
    " FROM matengine.view WHERE datastack = %s"
)


@dataclass(frozen=True)
class View:
    """A view as the catalogue has it; `user_id` is its owner."""

    view_id: int
    datastack: str
    name: str
    description: str
    notice_text: str | None
    user_id: str
    definition: Definition
    created: datetime


def store(
    conn: Connection,
    datastack: str,
    name: str,
    what: Definition,
    *,
    description: str = "",
    notice_text: str | None = None,
    user_id: str = "",
) -> View:
    """Enter a view, without asking it.

    Raises Conflict where the name is taken by a view or a table, Invalid for a bad name, NotFound.
    """
    check_name(name, "a view")
    datastacks.get(conn, datastack)
    if name in tables.list_tables(conn, deleted=True) or name in tables.list_tables(conn):
        raise Conflict(f"There is a table called '{name}'.", "Call the view otherwise.")
    try:
        with atomic(conn):
            conn.execute(
                "INSERT INTO matengine.view (datastack, name, description, notice_text, user_id,"
                " definition) VALUES (%s, %s, %s, %s, %s, %s)",
                (datastack, name, description, notice_text, user_id, Jsonb(what.to_json())),
            )
    except pg.UniqueViolation:
        raise Conflict(f"The view '{name}' exists already.", "Drop it first.") from None
    return get(conn, datastack, name)


def listed(conn: Connection, datastack: str) -> list[View]:
    """All views of a datastack, by name."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_SELECT + " ORDER BY name", (datastack,)).fetchall()
    return [View(**{**row, "definition": definition.read(row["definition"])}) for row in found]


def get(conn: Connection, datastack: str, name: str) -> View:
    """One view; raises NotFound."""
    found = next((view for view in listed(conn, datastack) if view.name == name), None)
    if found is None:
        raise NotFound(f"'{datastack}' has no view '{name}'.")
    return found


def drop(conn: Connection, datastack: str, name: str) -> None:
    """Remove a view; raises NotFound."""
    get(conn, datastack, name)
    conn.execute("DELETE FROM matengine.view WHERE datastack = %s AND name = %s", (datastack, name))
