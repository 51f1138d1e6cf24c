"""Reading a relation: filters, columns, order, limits; rows as Arrow batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
from psycopg import sql

from matengine.engine.query.relation import Relation
from matengine.errors import Invalid, NotFound, did_you_mean
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of

Value = int | float | str | bool


@dataclass(frozen=True)
class Question:
    """What to ask of a relation.

    `among` keeps rows whose column has one of the values; None for `columns` means all of them.
    Rows come in the order of `id`.
    """

    columns: Sequence[str] | None = None
    among: dict[str, Sequence[Value]] = field(default_factory=dict)
    limit: int | None = None
    offset: int = 0


def compose(relation: Relation, question: Question) -> sql.Composed:
    """The SQL of a question, its values as literals.

    Raises NotFound for unknown columns and Invalid for a negative limit or offset.
    """
    if question.offset < 0 or (question.limit is not None and question.limit < 0):
        raise Invalid("A limit or offset cannot be negative.")
    selected = list(relation.columns) if question.columns is None else list(question.columns)
    parts = [
        sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(_column(relation, c), sql.Identifier(c))
                for c in selected
            ),
            relation.source,
        )
    ]
    conditions = [_condition(relation, c, values) for c, values in question.among.items()]
    if conditions:
        parts.append(sql.SQL("WHERE {}").format(sql.SQL(" AND ").join(conditions)))
    parts.append(sql.SQL("ORDER BY h.id").format())
    if question.limit is not None:
        parts.append(sql.SQL("LIMIT {}").format(sql.Literal(question.limit)))
    if question.offset:
        parts.append(sql.SQL("OFFSET {}").format(sql.Literal(question.offset)))
    return sql.SQL(" ").join(parts)


def _column(relation: Relation, name: str) -> sql.Composed:
    if name not in relation.columns:
        raise NotFound(
            f"'{relation.table.table}' has no column '{name}'.",
            did_you_mean(name, relation.columns),
        )
    return relation.columns[name]


def _condition(relation: Relation, name: str, values: Sequence[Value]) -> sql.Composed:
    column = _column(relation, name)
    if name in relation.table.supervoxels + relation.table.roots and 0 not in values:
        column = sql.SQL("{}").format(sql.Identifier("h", name))  # lets the index serve
    return sql.SQL("{} = ANY({})").format(column, sql.Literal(list(values)))


@contextmanager
def stream(
    conn: Connection, relation: Relation, question: Question
) -> Iterator[pa.RecordBatchReader]:
    """The answer batch by batch; it is read on a connection of its own."""
    query = compose(relation, question).as_string(conn)
    with arrow.stream(conninfo_of(conn), query) as reader:
        yield reader


def read(conn: Connection, relation: Relation, question: Question | None = None) -> pa.Table:
    """The whole answer at once."""
    with stream(conn, relation, question or Question()) as reader:
        return reader.read_all()
