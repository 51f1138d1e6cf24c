"""The public schemas by name."""

from matengine.errors import NotFound, did_you_mean

from . import cells, functional, proofreading, references, synapses, tags
from .model import Schema

_SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        *synapses.SCHEMAS,
        *cells.SCHEMAS,
        *references.SCHEMAS,
        *tags.SCHEMAS,
        *proofreading.SCHEMAS,
        *functional.SCHEMAS,
    )
}


def names() -> list[str]:
    """The names of all schemas, sorted."""
    return sorted(_SCHEMAS)


def get(name: str) -> Schema:
    """The schema of this name; raises NotFound with the nearest name there is."""
    try:
        return _SCHEMAS[name]
    except KeyError:
        hint = did_you_mean(name, _SCHEMAS)
        raise NotFound(f"There is no schema '{name}'.", hint) from None
