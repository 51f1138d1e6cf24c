"""Annotation schemas: what a row of each kind holds, and the columns that it becomes.

    schema = schemas.get("synapse")
    [column.name for column in schemas.flatten(schema)]

Imports nothing but the standard library and `matengine.errors`, so that the comparison with the
public package can load it beside that package's old dependencies.
"""

from .flatten import (
    BoundColumns,
    Column,
    annotation_columns,
    bound_columns,
    flat_columns,
    flat_name,
    flatten,
    segmentation_columns,
)
from .json_schema import json_schema
from .model import Field, Kind, Schema
from .registry import get, names, subjects
from .validate import validate_row

__all__ = [
    "BoundColumns",
    "Column",
    "Field",
    "Kind",
    "Schema",
    "annotation_columns",
    "bound_columns",
    "flat_columns",
    "flat_name",
    "flatten",
    "get",
    "json_schema",
    "names",
    "segmentation_columns",
    "subjects",
    "validate_row",
]
