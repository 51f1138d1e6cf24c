"""Random queries about a world, most of which find something."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from query_world import CELLS, UNITS, WORDS, QueryWorld

from matengine.engine.query.model import Filter, Join, Op, Query
from matengine.testing.queries import MemoryRelation, asked_about

PATTERNS = ("^M", "P-?I?", "x", "", "%", "[0-9]{1,2}P", "\\\\$", "n|b", "🧠")
RESOLUTIONS = (None, (1.0, 1.0, 1.0), (4.0, 4.0, 40.0), (0.5, 2.0, 2.5))
ORDER = (Op.GREATER, Op.LESS, Op.GREATER_EQUAL, Op.LESS_EQUAL)


def queries(world: QueryWorld, version: int) -> st.SearchStrategy[Query]:
    """Queries that are right, of a version, about up to three tables."""
    return _query(world, version)


@st.composite
def _query(draw: st.DrawFn, world: QueryWorld, version: int) -> Query:
    tables = world.tables[version]
    joins = draw(st.sampled_from(_joins(world)))
    first = draw(st.sampled_from(sorted(tables))) if not joins else joins[0].left
    about = asked_about(Query(first, joins))
    places = st.sampled_from([(t, c) for t in about for c in _filterable(tables[t])])
    filters = tuple(
        draw(_filter(table, column, tables[table]))
        for table, column in draw(st.lists(places, max_size=3))
    )
    suffixes = {table: f"_{place}" for place, table in enumerate(about)}
    given = draw(st.sets(st.sampled_from(about)))
    return Query(
        first,
        joins,
        filters,
        draw(_columns(about, tables)),
        {table: suffixes[table] for table in given},
        resolution_nm=draw(st.sampled_from(RESOLUTIONS)),
        half_open=draw(st.booleans()),
        with_supervoxels=draw(st.booleans()),
    )


def _joins(world: QueryWorld) -> list[tuple[Join, ...]]:
    syn, notes = world.synapses, world.notes
    about = Join(notes, "target_id", syn, "id")
    unit = Join(UNITS, "target_id", syn, "id")
    pre = Join(syn, "pre_pt_root_id", CELLS, "pt_root_id")
    return [
        *[()] * 5,
        (about,),
        (unit,),
        (pre,),
        (Join(CELLS, "pt_root_id", syn, "post_pt_root_id"),),
        (Join(CELLS, "query_root_id", UNITS, "target_id"),),
        (Join(UNITS, "score", CELLS, "score"),),
        (Join(CELLS, "query_root_id", syn, "pre_pt_root_id"),),
        (about, pre),
        (unit, Join(syn, "post_pt_root_id", CELLS, "pt_root_id")),
        (about, unit),
        (Join(CELLS, "id", notes, "id"), pre, about),
    ]


def _filterable(table: MemoryRelation) -> list[str]:
    axes = [f"{point}_{axis}" for point in sorted(table.points) for axis in "xyz"]
    return [*table.columns, *axes]


def _filter(table: str, column: str, rows: MemoryRelation) -> st.SearchStrategy[Filter]:
    """A filter whose values are mostly among those that there are, or close by."""
    if column in rows.points:
        return st.builds(Filter, st.just(table), st.just(column), st.just(Op.BOX), _boxes())
    known = _known(rows, column)
    values = st.sampled_from(known)
    several = st.lists(values, max_size=4)
    choices = [
        st.tuples(st.sampled_from((Op.IN, Op.NOT_IN)), several),
        st.tuples(st.just(Op.EQUAL), values),
    ]
    if not isinstance(known[0], bool):
        choices.append(st.tuples(st.sampled_from(ORDER), values))
    if isinstance(known[0], str):
        choices.append(st.tuples(st.just(Op.REGEX), st.sampled_from(PATTERNS)))
    return st.one_of(choices).map(lambda drawn: Filter(table, column, drawn[0], drawn[1]))


def _known(rows: MemoryRelation, column: str) -> list[Any]:
    """Values of a column, and some that no row has."""
    if column[:-2] in rows.points:
        return [-1.0, 0, 1, 2.25, 5.5, 12.0]
    found = sorted({row[column] for row in rows.rows} - {None})
    if not found:
        return [0.5]
    if isinstance(found[0], bool):
        return [True, False]
    if isinstance(found[0], str):
        return [*WORDS, "nobody"]
    if isinstance(found[0], int):
        return [*found, 0, -5, found[len(found) // 2] + 1, 2**63, -(2**70)]
    return found


def _boxes() -> st.SearchStrategy[list[list[float]]]:
    edge = st.sampled_from((-1.0, 0.0, 0.25, 1.0, 3.0, 5.75, 6.0, 12.0))
    sides = st.tuples(edge, edge).map(sorted)
    return st.tuples(sides, sides, sides).map(
        lambda box: [[low for low, _ in box], [high for _, high in box]]
    )


def _columns(about: Sequence[str], tables: dict[str, MemoryRelation]) -> st.SearchStrategy[Any]:
    every = st.none()

    def some(columns: Sequence[str]) -> st.SearchStrategy[list[str]]:
        return st.lists(st.sampled_from(columns), unique=True, min_size=1, max_size=5)

    shared = {c for t in about for c in tables[t].columns}
    by_table = st.fixed_dictionaries(
        {}, optional={table: some(tables[table].columns) for table in about}
    ).filter(bool)
    return st.one_of(every, some(sorted(shared)), by_table)
