"""Making a view, once it is known that it can be asked."""

from psycopg import sql

from matengine.engine import access
from matengine.engine.access import LOCAL, User
from matengine.engine.query import sources
from matengine.engine.query.views import catalogue, finding, relation
from matengine.engine.query.views.catalogue import View
from matengine.engine.query.views.definition import Definition, tables_of
from matengine.engine.versions import labels
from matengine.errors import Forbidden, NotFound
from matengine.storage.connections import Connection
from matengine.times import now


def make(
    conn: Connection,
    datastack: str,
    name: str,
    what: Definition,
    *,
    description: str = "",
    notice_text: str | None = None,
    user: User = LOCAL,
) -> View:
    """Enter a view of a user who may edit the datastack, and read the tables.

    Raises what `check` raises, Conflict where the name is taken and Invalid for a bad one.
    """
    access.check_datastack(user, datastack, "edit")
    check(conn, datastack, what, user)
    return catalogue.store(
        conn,
        datastack,
        name,
        what,
        description=description,
        notice_text=notice_text,
        user_id=str(user.user_id),
    )


def remove(conn: Connection, datastack: str, name: str, user: User = LOCAL) -> None:
    """Drop a view of the user's own, or of anybody for an administrator.

    Raises NotFound, Forbidden.
    """
    access.check_datastack(user, datastack, "edit")
    view = finding.find(conn, datastack, name, user)
    if not user.admin and view.user_id != str(user.user_id):
        raise Forbidden(f"The view '{name}' belongs to user {view.user_id}.")
    catalogue.drop(conn, datastack, name)


def check(conn: Connection, datastack: str, what: Definition, user: User = LOCAL) -> None:
    """Raise NotFound, Invalid or Forbidden where a view cannot be asked of the tables there are.

    It is tried on the newest version, or on the present where there is none; no row is read.
    """
    try:
        version = labels.find(conn, datastack, labels.NEWEST).version
        found = sources.tables_at(conn, datastack, version, tables_of(what), user)
    except NotFound:  # no version, or none yet with all of the tables
        found = sources.tables_at(conn, datastack, now(), tables_of(what), user)
    tried = relation.relation_of("view", what, found)
    conn.execute(sql.SQL("SELECT FROM {} AS v LIMIT 0").format(tried.source))
