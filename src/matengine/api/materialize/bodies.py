"""What a query's body and query string may say, and the question that it makes.

Clients of CAVE call the same thing by several names; all of them are understood everywhere.
Optional keys may be null. Unknown keys are refused, because a misspelt filter would give too much.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matengine.api.description import Parameters
from matengine.api.materialize.paths import Name
from matengine.api.wire import body
from matengine.engine.query.model import Filter, Join, Op, Query, Roots
from matengine.errors import Invalid, did_you_mean

ByColumn = dict[str, Any]
Filters = dict[str, ByColumn | None] | None
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]

_OPS = {
    "filter_in_dict": Op.IN,
    "filter_notin_dict": Op.NOT_IN,
    "filter_out_dict": Op.NOT_IN,
    "filter_equal_dict": Op.EQUAL,
    "filter_greater_dict": Op.GREATER,
    "filter_less_dict": Op.LESS,
    "filter_greater_equal_dict": Op.GREATER_EQUAL,
    "filter_less_equal_dict": Op.LESS_EQUAL,
    "filter_spatial_dict": Op.BOX,
    "filter_regex_dict": Op.REGEX,
}


class Arguments(Parameters):
    """How an answer comes; other parameters that clients of CAVE send mean nothing here.

    return_pyarrow: an Arrow IPC stream, else a JSON list of rows. ipc_compress: its buffers may be
    compressed, as Accept-Encoding allows. count: only how many rows. random_sample: about so many
    rows, chosen evenly. allow_invalid_root_ids: what of root ids in filters that are not alive at
    the moment of the roots: true: they match nothing, and a `Warning` tells of them; false: 400,
    naming those in their place. Left out it is false for queries as of a time; of a version they
    match nothing. translate_root_ids: they stand for those in their place, which the answer tells.
    allow_missing_lookups: false refuses (406) rows that nobody has looked up yet, else they come
    with 0, and a `Warning` says how many.
    """

    return_pyarrow: bool = True
    ipc_compress: bool = True
    count: bool = False
    random_sample: Annotated[int, Field(gt=0)] | None = None
    allow_invalid_root_ids: bool | None = None
    allow_missing_lookups: bool | None = None
    translate_root_ids: bool = False

    @property
    def roots(self) -> Roots:
        """What is said of root ids that are not of the moment."""
        if self.allow_invalid_root_ids is None:
            return Roots.LEFT
        return Roots.TOLD if self.allow_invalid_root_ids else Roots.REFUSED


class TableBody(BaseModel):
    """A question about one table; filters are {table: {column: value}}, and all must hold.

    select_columns: a list of names, or {table: [names]}. desired_resolution: nm of a unit of the
    positions of the answer; boxes stay in voxels of their table. half_open: boxes without their
    upper faces. cursor: go on where an earlier answer ended. segmentation: root ids as of another
    moment than the rows, a version's number or name, a time, or "now".
    """

    model_config = ConfigDict(extra="forbid")

    filter_in_dict: Filters = None
    filter_notin_dict: Filters = None
    filter_out_dict: Filters = None
    filter_equal_dict: Filters = None
    filter_greater_dict: Filters = None
    filter_less_dict: Filters = None
    filter_greater_equal_dict: Filters = None
    filter_less_equal_dict: Filters = None
    filter_spatial_dict: Filters = None
    filter_regex_dict: Filters = None
    select_columns: list[str] | dict[str, list[str] | None] | None = None
    select_column_map: dict[str, list[str] | None] | None = None
    suffixes: list[str] | dict[str, str] | None = None
    suffix_map: dict[str, str] | None = None
    offset: Count | None = None
    limit: Count | None = None
    desired_resolution: tuple[Positive, Positive, Positive] | None = None
    half_open: bool | None = None
    cursor: str | None = None
    segmentation: str | int | None = None

    def question(self, table: str, joins: Sequence[Join], arguments: Arguments) -> Query:
        """The question about `table`, joined so; raises Invalid where the body is at odds."""
        return Query(
            table=table,
            joins=tuple(joins),
            filters=tuple(self._filters()),
            columns=self._columns(),
            suffixes=self._suffixes(table, joins),
            resolution_nm=self.desired_resolution,
            limit=self.limit,
            offset=self.offset or 0,
            count=arguments.count,
            random_sample=arguments.random_sample,
            half_open=bool(self.half_open),
            after=self.cursor,
            roots=arguments.roots,
            translate_roots=arguments.translate_root_ids,
            complete=arguments.allow_missing_lookups is False,
        )

    def _filters(self) -> Iterator[Filter]:
        for key, op in _OPS.items():
            for table, by_column in (getattr(self, key) or {}).items():
                for column, value in (by_column or {}).items():
                    yield Filter(table, column, op, value)

    def _columns(self) -> Mapping[str, Sequence[str]] | Sequence[str] | None:
        """None where nothing is selected, which means everything."""
        if self.select_columns and self.select_column_map:
            raise Invalid("The body has both select_columns and select_column_map.")
        chosen = self.select_column_map or self.select_columns
        if isinstance(chosen, dict):
            return {table: names for table, names in chosen.items() if names} or None
        return chosen or None

    def _suffixes(self, table: str, joins: Sequence[Join]) -> Mapping[str, str]:
        """By table; a list goes with the tables in the order in which the query names them."""
        if self.suffixes and self.suffix_map:
            raise Invalid("The body has both suffixes and suffix_map.")
        given = self.suffix_map or self.suffixes or {}
        if isinstance(given, dict):
            return given
        tables = list(dict.fromkeys([table, *(t for j in joins for t in (j.left, j.right))]))
        if len(given) > len(tables):
            raise Invalid(f"There are {len(given)} suffixes for {len(tables)} tables.")
        return dict(zip(tables, given, strict=False))


Joins = list[tuple[Name, str, Name, str]]


class JoinBody(TableBody):
    """A question about tables that are joined.

    tables: [[table, column], ...]; rows belong together where all of these columns are equal. Or
    table and join_tables: [[table, column, table, column], ...], to join on other columns too.
    """

    tables: list[tuple[Name, str]] | None = Field(default=None, min_length=1)
    table: Name | None = None
    join_tables: Joins | None = None

    def query(self, arguments: Arguments) -> Query:
        """The question; each further one of `tables` is joined to the column of the first.

        Raises Invalid where it is not clear what is joined.
        """
        if (self.tables is None) == (self.table is None) or (self.tables and self.join_tables):
            raise Invalid("The body needs either 'tables', or 'table' and 'join_tables'.")
        if self.table is not None:
            joins = [Join(*four) for four in self.join_tables or []]
            return self.question(self.table, joins, arguments)
        (first, column), *others = self.tables or []
        joins = [Join(first, column, other, its) for other, its in others]
        return self.question(first, joins, arguments)


class LiveBody(TableBody):
    """A question about a table, and others joined with it, as of a time.

    timestamp: ISO 8601, UTC where it has no zone; or "now". join_tables: [[table, column, table,
    column], ...].
    """

    table: Name
    timestamp: str
    join_tables: Joins | None = None

    def query(self, arguments: Arguments) -> Query:
        """The question; root ids of another time are refused unless they are allowed."""
        joins = [Join(*four) for four in self.join_tables or []]
        asked = self.question(self.table, joins, arguments)
        return replace(asked, roots=Roots.REFUSED) if asked.roots is Roots.LEFT else asked


Body = TypeVar("Body", bound=BaseModel)


def read_body(model: type[Body]) -> Body:
    """The request's body, with or without a content type; none at all says nothing.

    Raises Invalid, naming what does not fit.
    """
    content = _json(body() or b"{}")
    if not isinstance(content, dict):
        raise Invalid("The body is not a JSON object.", "Send {} to ask for everything.")
    for key in content:
        if key not in model.model_fields:
            hint = did_you_mean(key, model.model_fields)
            raise Invalid(f"The body has a key '{key}' that means nothing here.", hint)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        said = {f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults}
        raise Invalid(f"The body does not fit: {'; '.join(sorted(said))}.") from None


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not JSON: {error}.") from None
