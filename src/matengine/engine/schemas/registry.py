"""The public schemas by name."""

from matengine.errors import NotFound, did_you_mean

from . import cells, functional, proofreading, references, synapses, tags
from .model import Schema

_SUBJECTS: dict[str, tuple[Schema, ...]] = {
    "Synapses and contacts": synapses.SCHEMAS,
    "Cells": cells.SCHEMAS,
    "References": references.SCHEMAS,
    "Tags": tags.SCHEMAS,
    "Proofreading": proofreading.SCHEMAS,
    "Function": functional.SCHEMAS,
}
_SCHEMAS = {schema.name: schema for subject in _SUBJECTS.values() for schema in subject}


def names() -> list[str]:
    """The names of all schemas, sorted."""
    return sorted(_SCHEMAS)


def subjects() -> dict[str, tuple[Schema, ...]]:
    """All schemas by subject, for people to read."""
    return dict(_SUBJECTS)


def get(name: str) -> Schema:
    """The schema of this name; raises NotFound with the nearest name there is."""
    try:
        return _SCHEMAS[name]
    except KeyError:
        hint = did_you_mean(name, _SCHEMAS)
        raise NotFound(f"There is no schema '{name}'.", hint) from None
