"""Which columns an answer has, and what they are called."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matengine.engine.query.model import Query
from matengine.engine.query.relation import AXES, Column, Form, Relation
from matengine.errors import Invalid, NotFound, did_you_mean

_ROOT = "root_id"
_SUPERVOXEL = "supervoxel_id"
_LONGEST_SUFFIX = 48


@dataclass(frozen=True)
class Output:
    """A column of an answer: of which table, and under which name."""

    table: str
    column: Column
    name: str


def outputs(query: Query, relations: Mapping[str, Relation]) -> list[Output]:
    """The columns of an answer, in its order.

    Raises NotFound for unknown columns, Invalid for tables that are not in the query and where
    two columns would have one name.
    """
    chosen = _chosen(query, relations)
    if not chosen:
        raise Invalid("No column is selected.", "Leave the selection out to get all.")
    suffixes = _suffixes(query, relations)
    tables_of: dict[str, set[str]] = {}
    for table, column in chosen:
        tables_of.setdefault(_base(column), set()).add(table)
    found = [
        Output(
            table,
            column,
            _named(column, suffixes[table] if len(tables_of[_base(column)]) > 1 else ""),
        )
        for table, column in chosen
    ]
    twice = [name for name, count in Counter(o.name for o in found).items() if count > 1]
    if twice:
        raise Invalid(
            f"Two columns of the answer would be called '{twice[0]}'.",
            "Select each once, and give the tables different suffixes.",
        )
    return found


def _base(column: Column) -> str:
    """What is called alike in several tables: the position of an axis, else the column."""
    return column.point or column.name


def _named(column: Column, suffix: str) -> str:
    if column.point is None:
        return column.name + suffix
    return f"{column.point}{suffix}_{AXES[column.axis]}"


def _suffixes(query: Query, relations: Mapping[str, Relation]) -> dict[str, str]:
    """The suffix of each table: the one given, else x, y, z, xx, ... by its place."""
    for table, suffix in query.suffixes.items():
        _check_table(table, relations)
        if len(suffix) > _LONGEST_SUFFIX or not (suffix.isprintable() and suffix.isascii()):
            raise Invalid(f"{suffix!r} cannot be a suffix.")
    return {
        table: query.suffixes.get(table, AXES[place % 3] * (place // 3 + 1))
        for place, table in enumerate(relations)
    }


def _chosen(query: Query, relations: Mapping[str, Relation]) -> list[tuple[str, Column]]:
    wanted = query.columns
    if wanted is None:
        return [(name, column) for name, r in relations.items() for column in r.columns]
    if isinstance(wanted, str):
        raise Invalid("The selected columns are a list of names.")
    if isinstance(wanted, Mapping):
        for table in wanted:
            _check_table(table, relations)
        pairs = [(table, name) for table, names in wanted.items() for name in names]
    else:
        pairs = [(_first_with(name, relations), name) for name in wanted]
    asked = set(pairs)
    found: list[tuple[str, Column]] = []
    for table, name in pairs:
        partner = _supervoxel_of(relations[table], name) if query.with_supervoxels else None
        if partner and (table, partner.name) not in asked:
            found.append((table, partner))
        found += [(table, column) for column in _expanded(relations[table], name)]
    return found


def _expanded(relation: Relation, name: str) -> Sequence[Column]:
    return relation.points.get(name) or (relation.column(name),)


def _supervoxel_of(relation: Relation, name: str) -> Column | None:
    """The supervoxel column that comes along with a root: clients bring roots to date by it."""
    if not name.endswith(_ROOT):
        return None
    found = relation.by_name.get(name.removesuffix(_ROOT) + _SUPERVOXEL)
    return found if found and found.form is Form.ZERO else None


def _first_with(name: str, relations: Mapping[str, Relation]) -> str:
    """The first table that has a column."""
    for table, relation in relations.items():
        if name in relation.by_name or name in relation.points:
            return table
    if len(relations) == 1:
        raise next(iter(relations.values())).unknown(name)
    known = {n for r in relations.values() for n in (*r.by_name, *r.points)}
    raise NotFound(f"None of the tables has a column '{name}'.", did_you_mean(name, known))


def _check_table(table: str, relations: Iterable[str]) -> None:
    if table not in relations:
        raise Invalid(f"The query is not about '{table}'.", did_you_mean(table, relations))
