"""The small vocabulary that the schema declarations are written in."""

from typing import Any

from .model import Field, Kind, Schema

VALID = Field(
    "valid", Kind.BOOLEAN, "false once the annotation was deleted", required=False, default=False
)
TARGET = Field("target_id", Kind.REFERENCE, "id of the annotation this is about", indexed=True)


def bound(name: str, about: str, **options: Any) -> Field:
    """A point that lies in the segmentation."""
    return Field(name, Kind.BOUND_POINT, about, **options)


def spatial(name: str, about: str, **options: Any) -> Field:
    """A point with a position only."""
    return Field(name, Kind.SPATIAL_POINT, about, **options)


def text(name: str, about: str, *choices: str, **options: Any) -> Field:
    """A string, of a closed list where choices are given."""
    return Field(name, Kind.STRING, about, choices=choices, **options)


def integer(name: str, about: str, *choices: int, **options: Any) -> Field:
    """A 32-bit integer, of a closed list where choices are given."""
    return Field(name, Kind.INTEGER, about, choices=choices, **options)


def number(name: str, about: str, **options: Any) -> Field:
    """A double precision float."""
    return Field(name, Kind.FLOAT, about, **options)


def flag(name: str, about: str, **options: Any) -> Field:
    """A boolean."""
    return Field(name, Kind.BOOLEAN, about, **options)


def bigint(name: str, about: str, **options: Any) -> Field:
    """A 64-bit integer, such as a root id noted once and never looked up again."""
    return Field(name, Kind.BIGINT, about, **options)


def user(about: str, **options: Any) -> Field:
    """The id of the user who wrote the row; the server fills it in."""
    return Field("user_id", Kind.USER, about, **options)


def schema(name: str, definition: str, about: str, *fields: Field) -> Schema:
    """A schema of annotations in space: `valid` comes first."""
    return Schema(name, definition, about, (VALID, *fields))


def reference(name: str, definition: str, about: str, *fields: Field) -> Schema:
    """A schema of annotations about annotations: `valid` and `target_id` come first."""
    return Schema(name, definition, about, (VALID, TARGET, *fields))
