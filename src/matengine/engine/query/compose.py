"""Statements out of relations, conditions, columns and pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pyarrow as pa
from psycopg import sql

from matengine.engine.query import filters, joins, values
from matengine.engine.query.model import Query
from matengine.engine.query.packing import Packing, called
from matengine.engine.query.relation import Relation, rendered
from matengine.errors import Invalid

_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Body:
    """The rows of a query before any is left out for its place: FROM and WHERE.

    `rows` are the aliases of the relations; `keys` tell rows of the answer apart, and order them.
    `hints` are conditions that all rows meet anyway, for an index to find them by.
    """

    query: Query
    relations: dict[str, Relation]
    hints: tuple[sql.Composed, ...] = ()

    @property
    def rows(self) -> dict[str, str]:
        return {name: f"t{place}" for place, name in enumerate(self.relations)}

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(table, column), in the order that rows of answers come in."""
        return [(name, column) for name, r in self.relations.items() for column in r.key]

    def key(self, name: str, column: str) -> sql.Composable:
        return self.relations[name].key_column(column).raw(self.rows[name])

    def check(self) -> None:
        """Raise NotFound, Invalid for filters and joins that are not right."""
        assert self.text

    @cached_property
    def text(self) -> sql.Composed:
        """FROM and WHERE; raises as `check`."""
        rows = self.rows
        conditions = [joins.condition(join, rows, self.relations) for join in self.query.joins]
        for asked in self.query.filters:
            if asked.table not in self.relations:
                raise Invalid(
                    f"A filter is on '{asked.table}', which the query is not about.",
                    f"It is about: {', '.join(self.relations)}.",
                )
            conditions.append(
                filters.condition(
                    rows[asked.table],
                    self.relations[asked.table],
                    asked,
                    half_open=self.query.half_open,
                )
            )
        sources = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(relation.source, sql.Identifier(rows[name]))
            for name, relation in self.relations.items()
        )
        conditions += self.hints
        where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(conditions))
        return sql.SQL("FROM {}").format(sources) + (where if conditions else sql.SQL(""))


def counting(body: Body) -> sql.Composed:
    """How many rows there are, whatever page or sample is asked for."""
    return sql.SQL("SELECT count(*) AS count ") + body.text


def selecting(body: Body, stored: Sequence[tuple[str, str]], packing: Packing) -> "Selection":
    """The rows with columns of their sources, by (table, stored column); keys must be among them.

    They come as `packing` says. What readers see of them is made by `shaping`.
    """
    rows, query = body.rows, body.query
    columns = tuple((rows[table], column) for table, column in stored)
    raw = [body.key(*key) for key in body.keys]
    sample = query.random_sample
    if sample is None:
        statement = sql.SQL("SELECT {} ").format(_sent(columns, packing)) + body.text
        return Selection(query, statement, tuple(raw), sampled=False)
    places = {column: place for place, column in enumerate(stored)}
    keys = [
        places[table, body.relations[table].key_column(column).stored]
        for table, column in body.keys
    ]
    statement = (
        sql.SQL("SELECT {} ").format(_sent(columns, Packing.apart(len(columns)))) + body.text
    )
    # evenly, and the same rows of the same moment whenever asked
    dice: sql.Composable = sql.SQL("0")
    for key in raw:
        dice = sql.SQL("hashint8extended({}, {})").format(key, dice)
    statement += sql.SQL(" ORDER BY {}, {} LIMIT {}").format(
        dice, sql.SQL(", ").join(raw), sql.Literal(_whole(sample, "A sample", least=1))
    )
    sent = packing.sent([called(place) for place in range(len(columns))])
    return Selection(
        query,
        sql.SQL("SELECT {} FROM ({}) AS s").format(sent, statement),
        tuple(map(called, keys)),
        sampled=True,
    )


@lru_cache(maxsize=256)
def _sent(columns: tuple[tuple[str, str], ...], packing: Packing) -> sql.SQL:
    """Columns by (alias of a row, column), as they are sent."""
    return rendered(packing.sent([sql.Identifier(*column) for column in columns]))


@dataclass(frozen=True)
class Selection:
    """All rows of an answer; `page` gives those that are asked for."""

    query: Query
    statement: sql.Composed
    keys: tuple[sql.Composable, ...]
    sampled: bool

    def some(self, most: int, after: tuple[int, ...] | None) -> sql.Composed:
        """The rows behind those of a cursor in any order, `most` of them."""
        limit = sql.SQL("LIMIT {}").format(sql.Literal(most))
        return sql.SQL(" ").join([*self._behind(after), limit])

    def page(self, after: tuple[int, ...] | None) -> sql.Composed:
        """The rows behind those of a cursor, from `offset` on, `limit` of them."""
        parts = self._behind(after)
        parts.append(sql.SQL("ORDER BY {}").format(sql.SQL(", ").join(self.keys)))
        if self.query.limit is not None:
            limit = _whole(self.query.limit, "A limit")
            parts.append(sql.SQL("LIMIT {}").format(sql.Literal(limit)))
        if offset := _whole(self.query.offset, "An offset"):
            parts.append(sql.SQL("OFFSET {}").format(sql.Literal(offset)))
        return sql.SQL(" ").join(parts)

    def _behind(self, after: tuple[int, ...] | None) -> list[sql.Composed]:
        if after is None:
            return [self.statement]
        first = self.sampled or not (self.query.joins or self.query.filters)
        condition = sql.SQL("{} ({}) > ({})").format(
            sql.SQL("WHERE" if first else "AND"),
            sql.SQL(", ").join(self.keys),
            sql.SQL(", ").join(values.literal(pa.int64(), key) for key in after),
        )
        return [self.statement, condition]


def _whole(number: object, what: str, least: int = 0) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise Invalid(f"{what} is a whole number, {least} or more, not {number!r}.")
    return min(number, _LARGEST)
