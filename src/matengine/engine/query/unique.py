"""The values that the text columns of an annotation table have."""

from psycopg import sql

from matengine.engine import schemas
from matengine.engine.annotations.tables import TableMetadata
from matengine.storage.connections import Connection

# a column with more values than this holds free text
MOST_VALUES = 10_000


def unique_strings(conn: Connection, table: TableMetadata) -> dict[str, list[str]]:
    """The values of each text column among the annotations that are there now, sorted.

    At most one more than `MOST_VALUES` of a column, so that a caller can tell that there are
    more. NULL is no value.
    """
    columns = schemas.flat_columns(schemas.get(table.schema_type))
    texts = [column.name for column in columns if column.arrow_type == "string"]
    return {name: _values(conn, table.name, name) for name in texts}


def _values(conn: Connection, table: str, column: str) -> list[str]:
    rows = conn.execute(
        sql.SQL(
            'SELECT DISTINCT {column} COLLATE "C" FROM {table}'
            " WHERE deleted IS NULL AND {column} IS NOT NULL ORDER BY 1 LIMIT {most}"
        ).format(
            column=sql.Identifier(column),
            table=sql.Identifier("public", table),
            most=sql.Literal(MOST_VALUES + 1),
        )
    )
    return [value for (value,) in rows]
