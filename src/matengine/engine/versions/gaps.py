"""The gaps of a version: points whose root was not known when it was made, and why.

Kept like row versions of history, for the epochs from_epoch <= e < to_epoch. Triggers refuse to
change those of sealed epochs: what has healed since is still a gap of that version.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from matengine.engine.versions import catalogue
from matengine.errors import NotFound, did_you_mean
from matengine.storage.connections import Connection


@dataclass(frozen=True)
class Gap:
    """A point, such as `pre_pt`, of a row that has no root in a version.

    Until then `attempts` epochs had tried it, the last one for roots `as_of` a time; `permanent`:
    they had given up.
    """

    table: str
    id: int
    point: str
    reason: str
    permanent: bool
    attempts: int
    as_of: datetime


def of_version(
    conn: Connection,
    datastack: str,
    version: int,
    table: str | None = None,
    *,
    limit: int | None = None,
) -> list[Gap]:
    """The gaps of an available version, of one table or all, by table, id and point.

    A row with two of them is two gaps here, and one in a table's count of rows with gaps. The cost
    is that of the datastack's gaps. Raises NotFound for an unknown version or table, and Gone.
    """
    epoch = catalogue.version(conn, datastack, version).epoch
    names = [told.table_name for told in catalogue.tables_at(conn, datastack, epoch)]
    if table is not None and table not in names:
        raise NotFound(
            f"Version {version} of '{datastack}' has no table '{table}'.",
            did_you_mean(table, names),
        )
    with conn.cursor(row_factory=class_row(Gap)) as cursor:
        return cursor.execute(
            'SELECT table_name AS "table", id, left(point, -9) AS point, reason, permanent,'
            "  attempts, as_of FROM matengine.gap WHERE datastack = %s AND table_name = ANY(%s)"
            "  AND from_epoch <= %s AND to_epoch > %s ORDER BY 1, 2, 3 LIMIT %s",
            (datastack, [table] if table else names, epoch, epoch, limit),
        ).fetchall()


def forget(conn: Connection, datastack: str) -> None:
    """Remove the gaps that no kept epoch has."""
    conn.execute(
        "DELETE FROM matengine.gap AS g WHERE g.datastack = %s AND NOT EXISTS ("
        "  SELECT FROM matengine.epoch AS e"
        "  JOIN matengine.epoch_table AS t USING (datastack, epoch)"
        "  WHERE e.datastack = g.datastack AND t.table_name = g.table_name"
        "  AND e.collected IS NULL AND g.from_epoch <= e.epoch AND g.to_epoch > e.epoch)",
        (datastack,),
    )
