"""Questions answered: a plan says what will be read, and then it is read, as Arrow.

asked = answer.plan(conn, "minnie", 3, Query("synapses"), user)
with answer.stream(conn, asked) as batches:
    for batch in batches:
        ...
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa
from psycopg import sql

from matengine.engine.access import LOCAL, User
from matengine.engine.query import (
    compose,
    cursors,
    filters,
    joins,
    missing,
    nearby,
    ordering,
    outdated,
    sources,
)
from matengine.engine.query.compose import Body, Selection
from matengine.engine.query.model import At, Query
from matengine.engine.query.packing import Packing, Sent
from matengine.engine.query.shaping import Resolution, Shape
from matengine.engine.query.sources import Sources
from matengine.errors import Invalid
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of

DEADLINE_S = 120.0
COUNT = pa.schema([pa.field("count", pa.int64(), nullable=False)])
# what a batch knows of rows whose ids are not selected
_LAST = b"matengine.last"


@dataclass(frozen=True)
class Plan:
    """What a query reads, and what its answer looks like.

    asked: the query, with the root ids that it is about in the end. found: the moment and the
    tables. body: the rows, and `plain` those without hints, which may change from page to page.
    shape: what is read of them and becomes the answer's columns; None of a count. roots: ids that
    the filters name. translated: by root id of another time, those in its place. told: what
    whoever asked is to know of the answer.
    """

    asked: Query
    found: Sources
    body: Body
    plain: Body
    shape: Shape | None
    roots: tuple[int, ...] = ()
    translated: Mapping[int, Sequence[int]] = field(default_factory=dict)
    told: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Of the rows, also where there are none."""
        return self.shape.schema if self.shape else COUNT

    @property
    def names(self) -> dict[str, dict[str, str]]:
        """By table, the columns of the answer by what the table calls them.

        Of a position p they are p_x, p_y, p_z.
        """
        return self.shape.names if self.shape else {}

    @property
    def resolution_nm(self) -> Resolution | None:
        """Nm of a unit of the positions in the answer; None where it has none."""
        return self.shape.resolution_nm if self.shape else None

    @property
    def epoch(self) -> int | None:
        return self.found.moment.epoch

    @property
    def tables(self) -> tuple[str, ...]:
        """All annotation tables that are read."""
        return tuple(self.found.tables)

    @property
    def total(self) -> int | None:
        """Rows of the whole table, where nothing is filtered and the catalogue knows."""
        query = self.asked
        plain = not (query.joins or query.filters)
        return self.found.relations[query.table].total if plain else None

    @cached_property
    def statement(self) -> sql.Composed:
        """Complete SQL with literal values."""
        if self.shape is None:
            return self.counting
        return self._selection.page(self._after)

    @cached_property
    def text(self) -> str:
        """The statement as it is sent."""
        return self.statement.as_string(None)

    @cached_property
    def unordered(self) -> str | None:
        """The statement of rows that may be few, and come in any order; None where they may not."""
        if self.shape is None or not ordering.may_be_few(self.body):
            return None
        return self._selection.some(ordering.FEW + 1, self._after).as_string(None)

    @property
    def counting(self) -> sql.Composed:
        """The statement that counts the rows, of all pages."""
        return compose.counting(self.body)

    @cached_property
    def basis(self) -> str:
        """What cursors belong to, whatever the page: the statement, and what is made of it."""
        assert self.shape is not None  # counts have no pages
        stored = self.shape.stored
        every = compose.selecting(self.plain, stored, Packing.apart(len(stored)))
        return f"{every.statement.as_string(None)} {self.names} {self.resolution_nm}"

    @property
    def _after(self) -> tuple[int, ...] | None:
        """The keys of the row that the cursor stands behind."""
        assert self.shape is not None  # counts have no pages
        after = self.asked.after
        return None if after is None else cursors.read(after, self.basis, len(self.shape.keys))

    @cached_property
    def _selection(self) -> Selection:
        assert self.shape is not None  # it is no count
        return compose.selecting(self.body, self.shape.stored, self.shape.packing)


def plan(conn: Connection, datastack: str, at: At, query: Query, user: User = LOCAL) -> Plan:
    """What a user's query reads at a moment, and whether it can be answered.

    Every table that it touches is authorised here. Raises Forbidden, NotFound for unknown
    versions, tables and columns, Gone for a version that is not kept, Invalid for anything that
    cannot be right, also for root ids of another time where the query wants them refused, and
    Incomplete where it will have no rows that are not looked up. Takes a few short statements of
    the catalogue.
    """
    found = sources.resolve(conn, datastack, at, joins.names(query), user)
    plain = Body(query, found.relations)
    plain.check()
    filters.check_patterns(conn, query.filters)
    if query.complete:
        missing.refuse(conn, datastack, found.relations)
    settled = outdated.settle(
        conn, datastack, found.moment.time, query, found.relations, found.alive
    )
    if settled.query is not query:
        query = settled.query
        plain = Body(query, found.relations)
    hints = nearby.hints(conn, plain)
    shape = found.shape(query)
    notices = [found.moment.notice] if found.moment.notice else []
    made = Plan(
        query,
        found,
        replace(plain, hints=hints) if hints else plain,
        plain,
        None if query.count else shape,
        tuple(outdated.roots_named(query.filters, found.relations)),
        settled.translated,
        (*notices, *missing.told(found.relations), *settled.told),
    )
    made.text  # noqa: B018 says what is wrong with the page
    return made


@contextmanager
def stream(
    conn: Connection, plan: Plan, deadline_s: float = DEADLINE_S
) -> Iterator[pa.RecordBatchReader]:
    """The answer batch by batch; it is read on a connection of its own.

    Raises Unavailable, also in the midst of the batches, where it takes longer than `deadline_s`,
    and Gone where the version was collected since the plan.
    """
    if (batch := _few(conn, plan, deadline_s)) is not None:
        yield pa.RecordBatchReader.from_batches(plan.schema, [_shaped(batch, plan)])
        return
    with arrow.stream(conninfo_of(conn), plan.text, deadline_s) as reader:
        batches = (_shaped(batch, plan) for batch in reader)
        yield pa.RecordBatchReader.from_batches(plan.schema, batches)


def _few(conn: Connection, plan: Plan, deadline_s: float) -> pa.RecordBatch | None:
    """All rows, as they are stored, where they are few."""
    if plan.shape is None or plan.unordered is None:
        return None
    with arrow.stream(conninfo_of(conn), plan.unordered, deadline_s) as reader:
        return ordering.few(reader, plan.shape)


def read(conn: Connection, plan: Plan, deadline_s: float = DEADLINE_S) -> pa.Table:
    """The whole answer at once."""
    with stream(conn, plan, deadline_s) as reader:
        return reader.read_all()


def count(conn: Connection, plan: Plan, deadline_s: float = DEADLINE_S) -> int:
    """How many rows pass the filters, whatever limit, offset, cursor or sample there is."""
    if plan.total is not None:
        return plan.total
    query = plan.counting.as_string(None)
    with arrow.stream(conninfo_of(conn), query, deadline_s) as reader:
        return int(reader.read_all()["count"][0].as_py())


def ask(conn: Connection, datastack: str, at: At, query: Query, user: User = LOCAL) -> pa.Table:
    """The whole answer to a query, for answers known to be small."""
    return read(conn, plan(conn, datastack, at, query, user))


def cursor_of(plan: Plan, batch: pa.RecordBatch) -> str:
    """The cursor behind the last row of a batch, for `Query.after`.

    Raises Invalid for a batch without rows, and for one that was made anew from a batch that
    `stream` gave, where the ids are not selected.
    """
    if not batch.num_rows or plan.shape is None or not plan.shape.keys:
        raise Invalid("There is no row to go on behind.")
    shown = plan.shape.shown_keys
    if shown is not None:
        key = tuple(batch.column(place)[-1].as_py() for place in shown)
    else:
        rows, *noted = _noted(batch)
        key = tuple(noted)
        if rows != batch.num_rows:
            raise Invalid("The ids of these rows are not known any more.", "Select them.")
    return cursors.write(plan.basis, key)


def _shaped(batch: pa.RecordBatch, plan: Plan) -> pa.RecordBatch:
    """A batch as the plan says, its ids noted where they are not shown."""
    if plan.shape is None:
        return batch.cast(plan.schema)
    schema = plan.schema
    if batch.num_rows and plan.shape.shown_keys is None:
        row = Sent(plan.shape.packing, batch.slice(batch.num_rows - 1))
        last = [batch.num_rows, *(row.column(place)[0].as_py() for place in plan.shape.keys)]
        schema = schema.with_metadata({_LAST: ",".join(map(str, last)).encode()})
    return pa.RecordBatch.from_arrays(plan.shape.columns(batch), schema=schema)


def _noted(batch: pa.RecordBatch) -> list[int]:
    noted = (batch.schema.metadata or {}).get(_LAST, b"0").decode()
    return [int(number) for number in noted.split(",")]
