"""What viewers and clients are told of a datastack beside its data: where images and skeletons
are, at which resolution to look, which tables hold its synapses and somata.

Kept with the datastack in the catalogue, as one JSON object of the keys of `Info`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any

from psycopg.types.json import Jsonb

from matengine import settings
from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.datastacks import LOCAL, Datastack
from matengine.errors import Invalid, NotFound, did_you_mean
from matengine.storage import connections
from matengine.storage.connections import MARK, Connection

TABLES = (
    "synapse_table",
    "soma_table",
    "cell_identification_table",
    "proofreading_status_table",
    "proofreading_review_table",
)
# the schemas whose first table an import takes for one of TABLES
_USUAL_SCHEMA = {"synapse_table": "synapse", "soma_table": "nucleus_detection"}


@dataclass(frozen=True)
class Info:
    """What is told. `image_sources` are addresses by name, the usual one first.

    viewer_resolution_nm: of one voxel of a viewer, x, y, z; None for that of the segmentation.
    """

    display_name: str | None = None
    viewer_site: str | None = None
    viewer_resolution_nm: list[float] | None = None
    image_sources: dict[str, str] = field(default_factory=dict)
    skeleton_source: str | None = None
    analysis_database: str | None = None
    synapse_table: str | None = None
    soma_table: str | None = None
    cell_identification_table: str | None = None
    proofreading_status_table: str | None = None
    proofreading_review_table: str | None = None


KEYS = tuple(key.name for key in fields(Info))


@dataclass(frozen=True)
class AlignedVolume:
    """The aligned volume of a connection. `number` is its id on this server."""

    number: int
    name: str
    description: str


def get(conn: Connection, datastack: str) -> Info:
    """What is told of a datastack; raises NotFound."""
    datastacks.get(conn, datastack)
    row = conn.execute(
        "SELECT info FROM matengine.datastack WHERE name = %s", (datastack,)
    ).fetchone()
    assert row is not None
    return Info(**{key: value for key, value in row[0].items() if key in KEYS})


def change(conn: Connection, datastack: str, changed: Mapping[str, Any]) -> Info:
    """Change some of `KEYS`; None takes a value away.

    Raises NotFound for an unknown datastack or annotation table, Invalid for what cannot be.
    """
    before = asdict(get(conn, datastack))
    for key, value in changed.items():
        before[key] = _checked(conn, key, value)
    kept = {key: value for key, value in before.items() if value is not None}
    conn.execute(
        "UPDATE matengine.datastack SET info = %s WHERE name = %s", (Jsonb(kept), datastack)
    )
    return get(conn, datastack)


def settle(conn: Connection, datastack: str) -> Info:
    """Tell the first table of synapses and of somata, as when a dataset has come in."""
    known = [tables.get_metadata(conn, name) for name in tables.list_tables(conn)]
    known.sort(key=lambda table: table.id)
    first = {table.schema_type: table.name for table in reversed(known)}
    return change(
        conn, datastack, {key: first.get(schema) for key, schema in _USUAL_SCHEMA.items()}
    )


def aligned_volume(conn: Connection) -> AlignedVolume:
    """The aligned volume that the connection is to."""
    row = conn.execute(
        "SELECT oid::bigint, datname, coalesce(shobj_description(oid, 'pg_database'), '')"
        " FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    number, name, comment = row
    return AlignedVolume(number, name, comment.removeprefix(MARK).removeprefix(": "))


def name_of(number: int) -> str:
    """The aligned volume of a number on this server; raises NotFound."""
    with connections.open_connection(settings.load().database_url, autocommit=True) as conn:
        row = conn.execute(
            "SELECT datname FROM pg_database WHERE oid::bigint = %s"
            " AND starts_with(shobj_description(oid, 'pg_database'), %s)",
            (number, MARK),
        ).fetchone()
    if row is None:
        raise NotFound(f"There is no aligned volume of id {number}.")
    return str(row[0])


def segmentation_source(datastack: Datastack, server: str) -> str:
    """The address of the chunkedgraph for viewers; `server` is ours (http://HOST)."""
    segmentation = datastack.segmentation
    place = server if segmentation.graph == LOCAL else segmentation.graph.rstrip("/")
    return f"graphene://{place}/segmentation/table/{segmentation.name}"


def _checked(conn: Connection, key: str, value: Any) -> Any:
    if key not in KEYS:
        raise Invalid(f"Nothing is told of a datastack as '{key}'.", did_you_mean(key, KEYS))
    if value is None:
        return {} if key == "image_sources" else None
    if key == "viewer_resolution_nm":
        return _resolution(value)
    if key == "image_sources":
        if not isinstance(value, dict):
            raise Invalid("image_sources are addresses by name.")
        return {_text("image_sources", n): _address(key, url) for n, url in value.items()}
    if key in TABLES:
        return tables.get_open(conn, _text(key, value)).name
    return _address(key, value) if key in ("viewer_site", "skeleton_source") else _text(key, value)


def _resolution(value: Any) -> list[float]:
    numbers = value if isinstance(value, list | tuple) else []
    if len(numbers) != 3 or not all(_is_length(number) for number in numbers):
        raise Invalid("viewer_resolution_nm are three lengths in nm: x, y, z.")
    return [float(number) for number in numbers]


def _is_length(number: Any) -> bool:
    return (
        isinstance(number, int | float)
        and not isinstance(number, bool)
        and isfinite(number)
        and number > 0
    )


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Invalid(f"{key} must be text.")
    return value.strip()


def _address(key: str, value: Any) -> str:
    text = _text(key, value)
    if "://" not in text:
        raise Invalid(f"'{text}' is no address for {key}.", "Write it as https://… or gs://….")
    return text
