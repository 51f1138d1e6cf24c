"""Questions answered: a plan says what will be read, and then it is read, as Arrow.

asked = answer.plan(conn, "minnie", 3, Query("synapses"), user)
with answer.stream(conn, asked) as batches:
    for batch in batches:
        ...
"""

import math
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
    outdated,
    selecting,
    shaping,
    sources,
)
from matengine.engine.query.compose import Body
from matengine.engine.query.model import At, Query
from matengine.engine.query.relation import Form, Relation
from matengine.engine.query.selecting import Output
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

    statement: complete SQL with literal values. schema: of the rows, also where there are none.
    names: by table, the columns of the answer by what the table calls them (of a position p: p_x,
    p_y, p_z). resolution_nm: nm of a unit of the positions in the answer; None where it has none.
    total: rows of the whole table, where nothing is filtered and the catalogue knows.
    counting: the statement that counts the rows, of all pages. unpaged: what its cursors belong
    to. shape: how what the statement reads becomes the answer's columns; None of a count. keys:
    places of the columns that tell rows apart and order them, in the statement. asked: the query,
    with the root ids that it is about in the end. roots: those that its filters name. translated:
    by root id of another time, those in its place. told: what whoever asked is to know of the
    answer. found: the moment and the tables.
    """

    statement: sql.Composed
    schema: pa.Schema
    names: dict[str, dict[str, str]]
    resolution_nm: Resolution | None
    epoch: int | None
    tables: tuple[str, ...]
    total: int | None
    counting: sql.Composed
    unpaged: sql.Composed
    shape: Shape | None
    keys: tuple[int, ...]
    asked: Query
    found: Sources
    roots: tuple[int, ...] = ()
    translated: Mapping[int, Sequence[int]] = field(default_factory=dict)
    told: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """The statement as it is sent."""
        return self.statement.as_string(None)

    @cached_property
    def basis(self) -> str:
        """What cursors belong to, whatever the page: the statement, and what is made of it."""
        return f"{self.unpaged.as_string(None)} {self.names} {self.resolution_nm}"

    @cached_property
    def shown_keys(self) -> tuple[int, ...] | None:
        """The places of the keys among the columns of the answer; None where one is not shown."""
        assert self.shape is not None  # counts have no keys
        shown = {
            (o.table, o.column.stored): place
            for place, o in enumerate(self.shape.outputs)
            if o.column.form is Form.PLAIN
        }
        found = [shown.get(self.shape.stored[key]) for key in self.keys]
        return None if None in found else tuple(p for p in found if p is not None)


def plan(conn: Connection, datastack: str, at: At, query: Query, user: User = LOCAL) -> Plan:
    """What a user's query reads at a moment, and whether it can be answered.

    Every table that it touches is authorised here. Raises Forbidden, NotFound for unknown
    versions, tables and columns, Gone for a version that is not kept, Invalid for anything that
    cannot be right, also for root ids of another time where the query wants them refused, and
    Incomplete where it will have no rows that are not looked up. Takes a few short statements of
    the catalogue.
    """
    found = sources.resolve(conn, datastack, at, joins.names(query), user)
    compose.counting(Body(query, found.relations))  # says what is wrong with filters and joins
    filters.check_patterns(conn, query.filters)
    if query.complete:
        missing.refuse(conn, datastack, found.relations)
    settled = outdated.settle(conn, datastack, found.moment.time, query, found.relations)
    query = settled.query
    plain = Body(query, found.relations)
    hints = nearby.hints(conn, plain)
    body = replace(plain, hints=hints) if hints else plain
    counted = compose.counting(body)
    outputs = selecting.outputs(query, found.relations)
    resolution = _resolution(query, found.relations)
    keys = [(table, compose.stored_key(body, table, key)) for table, key in body.keys]
    shape = shaping.shape(outputs, keys, found.relations, resolution)
    selection = compose.selecting(body, shape.stored)
    notices = [found.moment.notice] if found.moment.notice else []
    draft = Plan(
        statement=counted,
        schema=COUNT if query.count else pa.schema([_field(output) for output in outputs]),
        names={} if query.count else _names(outputs, found.relations),
        resolution_nm=resolution if any(o.column.point for o in outputs) else None,
        epoch=found.moment.epoch,
        tables=tuple(found.tables),
        total=_total(query, found.relations),
        counting=counted,
        # hints may change from page to page
        unpaged=compose.selecting(plain, shape.stored).statement if hints else selection.statement,
        shape=None if query.count else shape,
        keys=() if query.count else tuple(map(shape.stored.index, keys)),
        asked=query,
        found=found,
        roots=tuple(outdated.roots_named(query.filters, found.relations)),
        translated=settled.translated,
        told=(*notices, *missing.told(found.relations), *settled.told),
    )
    if query.count:
        return draft
    after = None
    if query.after is not None:
        after = cursors.read(query.after, draft.basis, len(draft.keys))
    return replace(draft, statement=selection.page(after))


@contextmanager
def stream(
    conn: Connection, plan: Plan, deadline_s: float = DEADLINE_S
) -> Iterator[pa.RecordBatchReader]:
    """The answer batch by batch; it is read on a connection of its own.

    Raises Unavailable, also in the midst of the batches, where it takes longer than `deadline_s`,
    and Gone where the version was collected since the plan.
    """
    with arrow.stream(conninfo_of(conn), plan.text, deadline_s) as reader:
        batches = (_shaped(batch, plan) for batch in reader)
        yield pa.RecordBatchReader.from_batches(plan.schema, batches)


def read(conn: Connection, plan: Plan, deadline_s: float = DEADLINE_S) -> pa.Table:
    """The whole answer at once."""
    with stream(conn, plan, deadline_s) as reader:
        return reader.read_all()


def count(conn: Connection, plan: Plan, deadline_s: float = DEADLINE_S) -> int:
    """How many rows pass the filters, whatever limit, offset, cursor or sample there is."""
    if plan.total is not None:
        return plan.total
    query = plan.counting.as_string(conn)
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
    if not batch.num_rows or not plan.keys:
        raise Invalid("There is no row to go on behind.")
    if plan.shown_keys is not None:
        key = tuple(batch.column(place)[-1].as_py() for place in plan.shown_keys)
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
    if batch.num_rows and plan.shown_keys is None:
        last = [batch.num_rows, *(batch.column(place)[-1].as_py() for place in plan.keys)]
        schema = schema.with_metadata({_LAST: ",".join(map(str, last)).encode()})
    return pa.RecordBatch.from_arrays(plan.shape.columns(batch), schema=schema)


def _noted(batch: pa.RecordBatch) -> list[int]:
    noted = (batch.schema.metadata or {}).get(_LAST, b"0").decode()
    return [int(number) for number in noted.split(",")]


def _field(output: Output) -> pa.Field:
    return output.column.field.with_name(output.name)


def _names(
    outputs: Sequence[Output], relations: Mapping[str, Relation]
) -> dict[str, dict[str, str]]:
    names: dict[str, dict[str, str]] = {table: {} for table in relations}
    for output in outputs:
        names[output.table][output.column.name] = output.name
    return names


def _resolution(query: Query, relations: Mapping[str, Relation]) -> Resolution | None:
    """What positions of the answer are given in: as asked, else as the first table has them."""
    if query.resolution_nm is None:
        return next((r.resolution_nm for r in relations.values() if r.resolution_nm), None)
    try:
        x, y, z = (float(number) for number in query.resolution_nm)
    except (TypeError, ValueError):
        raise Invalid("A resolution is three numbers in nm: x, y, z.") from None
    if not all(math.isfinite(number) and number > 0 for number in (x, y, z)):
        raise Invalid(f"A resolution must be above zero nm, not {x:g}, {y:g}, {z:g}.")
    unknown = [r.name for r in relations.values() if r.resolution_nm is None and r.points]
    if unknown:
        raise Invalid(f"Nobody knows the resolution of the positions of '{unknown[0]}'.")
    return x, y, z


def _total(query: Query, relations: Mapping[str, Relation]) -> int | None:
    if query.joins or query.filters:
        return None
    return relations[query.table].total
