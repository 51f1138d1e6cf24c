"""Joins: which relations a query is about, and what holds between their rows."""

from psycopg import sql

from matengine.engine.query.model import Join, Query
from matengine.engine.query.relation import Column, Form, Relation
from matengine.errors import Invalid


def names(query: Query) -> list[str]:
    """The names of the tables and views of a query, in the order in which it names them.

    Raises Invalid where one is joined with itself, or with nothing that leads to the first.
    """
    found = dict.fromkeys([query.table])
    for join in query.joins:
        if join.left == join.right:
            raise Invalid(f"'{join.left}' cannot be joined with itself.")
        found |= dict.fromkeys((join.left, join.right))
    reached = {query.table}
    for _ in query.joins:
        for join in query.joins:
            if join.left in reached or join.right in reached:
                reached |= {join.left, join.right}
    apart = [name for name in found if name not in reached]
    if apart:
        raise Invalid(f"No join leads from '{query.table}' to '{apart[0]}'.")
    return list(found)


def condition(join: Join, rows: dict[str, str], relations: dict[str, Relation]) -> sql.Composed:
    """What holds between the rows that a join brings together; `rows` are aliases by name.

    Raises NotFound for an unknown column, Invalid where the two are not of one type.
    """
    left, right = (
        _column(relations[join.left], join.left_column),
        _column(relations[join.right], join.right_column),
    )
    if left.type != right.type:
        raise Invalid(
            f"'{join.left_column}' of '{join.left}' is {left.type}, and '{join.right_column}' of"
            f" '{join.right}' is {right.type}: they cannot be joined."
        )
    ends = [(left, rows[join.left]), (right, rows[join.right])]
    parts = [
        sql.SQL("{} = {}").format(
            *(c.raw(row) if c.form is Form.ZERO else c.value(row) for c, row in ends)
        )
    ]
    # what has no root, or none that is known, has nothing in common
    parts += [sql.SQL("{} <> 0").format(c.raw(row)) for c, row in ends if c.form is Form.ZERO]
    return sql.SQL(" AND ").join(parts)


def _column(relation: Relation, name: str) -> Column:
    if name in relation.points:
        raise Invalid(f"'{name}' of '{relation.name}' is a position, which cannot be joined.")
    return relation.column(name)
