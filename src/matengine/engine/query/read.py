"""The former way to ask; `answer` is the one to use."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from psycopg import sql

from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query
from matengine.engine.query.relation import AtVersion
from matengine.storage.connections import Connection

Value = int | float | str | bool


@dataclass(frozen=True)
class Question:
    columns: Sequence[str] | None = None
    among: dict[str, Sequence[Value]] = field(default_factory=dict)
    limit: int | None = None
    offset: int = 0


def _plan(where: AtVersion, question: Question) -> answer.Plan:
    filters = tuple(Filter(where.table, c, Op.IN, list(v)) for c, v in question.among.items())
    query = Query(
        where.table,
        filters=filters,
        columns=question.columns,
        limit=question.limit,
        offset=question.offset,
    )
    return answer.plan(where.conn, where.datastack, where.version, query)


def compose(where: AtVersion, question: Question) -> sql.Composed:
    return _plan(where, question).statement


def read(conn: Connection, where: AtVersion, question: Question | None = None) -> pa.Table:
    return answer.read(conn, _plan(where, question or Question()))
