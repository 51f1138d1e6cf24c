"""What a view says: tables, joins, filters, and columns with the names that it gives them."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from matengine.engine.query.model import Filter, Join, Op
from matengine.errors import Invalid, did_you_mean
from matengine.storage.names import check_name

AGGREGATES = ("count", "count_distinct", "sum", "min", "max", "mean")


@dataclass(frozen=True)
class ViewColumn:
    """A column of a view: of a table, or counted out of the rows that are alike in the others.

    A position (`pt_position`) gives three columns. `count` needs no column.
    """

    name: str
    table: str | None = None
    column: str | None = None
    aggregate: str | None = None


@dataclass(frozen=True)
class Definition:
    """Where any column is an aggregate, there is a row for each combination of the others."""

    table: str
    columns: tuple[ViewColumn, ...]
    joins: tuple[Join, ...] = ()
    filters: tuple[Filter, ...] = ()

    @property
    def grouped(self) -> bool:
        return any(column.aggregate for column in self.columns)

    def to_json(self) -> dict[str, Any]:
        """The JSON that `read` takes."""
        return {
            "table": self.table,
            "joins": [[j.left, j.left_column, j.right, j.right_column] for j in self.joins],
            "filters": [asdict(f) | {"op": f.op.value} for f in self.filters],
            "columns": [
                {key: value for key, value in asdict(c).items() if value is not None}
                for c in self.columns
            ],
        }


def tables_of(what: Definition) -> list[str]:
    """The tables that a view is about, the first one first."""
    joined = (table for join in what.joins for table in (join.left, join.right))
    return list(dict.fromkeys([what.table, *joined]))


def read(given: Any) -> Definition:
    """A definition out of JSON; raises Invalid, saying what is wrong with its form.

    Whether there are such tables and columns is found out by asking it.
    """
    content = _object(given, "A view", ("table", "columns", "joins", "filters"))
    columns = tuple(_column(c) for c in _list(content, "columns"))
    if not columns:
        raise Invalid("A view needs columns.", 'Such as {"name": "size", "column": "size"}.')
    twice = [name for name, n in Counter(c.name for c in columns).items() if n > 1]
    if twice:
        raise Invalid(f"Two columns of the view are called '{twice[0]}'.")
    return Definition(
        _text(content, "table", "A view"),
        columns,
        tuple(_join(j) for j in _list(content, "joins")),
        tuple(_filter(f) for f in _list(content, "filters")),
    )


def _column(given: Any) -> ViewColumn:
    content = _object(given, "A column", ("name", "table", "column", "aggregate"))
    name = check_name(_text(content, "name", "A column"), "a column of a view")
    aggregate = content.get("aggregate")
    if aggregate is not None and aggregate not in AGGREGATES:
        raise Invalid(
            f"'{aggregate}' is no way to aggregate.", f"There are: {', '.join(AGGREGATES)}."
        )
    if aggregate != "count" and "column" not in content:
        raise Invalid(f"The column '{name}' of the view does not say which column it is.")
    for key in ("table", "column"):
        if content.get(key) is not None:
            _text(content, key, "A column")
    return ViewColumn(name, content.get("table"), content.get("column"), aggregate)


def _join(given: Any) -> Join:
    if not isinstance(given, list) or len(given) != 4 or not all(isinstance(g, str) for g in given):
        raise Invalid("A join is [table, column, table, column].")
    return Join(*given)


def _filter(given: Any) -> Filter:
    content = _object(given, "A filter", ("table", "column", "op", "value"))
    ops = [op.value for op in Op]
    if content.get("op") not in ops:
        raise Invalid(f"'{content.get('op')}' is no filter.", f"There are: {', '.join(ops)}.")
    if "value" not in content:
        raise Invalid("A filter needs a value.")
    return Filter(
        _text(content, "table", "A filter"),
        _text(content, "column", "A filter"),
        Op(content["op"]),
        content["value"],
    )


def _object(given: Any, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Invalid(f"{what} is a JSON object.")
    for key in given:
        if key not in keys:
            raise Invalid(f"{what} has no '{key}'.", did_you_mean(key, keys))
    return given


def _list(content: dict[str, Any], key: str) -> list[Any]:
    found = content.get(key) or []
    if not isinstance(found, list):
        raise Invalid(f"'{key}' of a view is a list.")
    return found


def _text(content: dict[str, Any], key: str, what: str) -> str:
    found = content.get(key)
    if not isinstance(found, str):
        raise Invalid(f"{what} needs a '{key}'.")
    return found
