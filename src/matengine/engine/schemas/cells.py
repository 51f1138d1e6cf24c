"""Cells: their types, their nuclei, and matches between cells."""

from .declare import bigint, bound, flag, number, reference, schema, spatial, text, user

_PT = bound("pt", "a point in the cell")
_SYSTEM = text("classification_system", "the system that the type belongs to")
_TYPE = text("cell_type", "name of the cell type")
_HEMISPHERE = text("hemisphere", "side of the brain", "L", "R", "M", "U", default="U")
_QUERY_ROOT = bigint("query_root_id", "root id of the cell when the score was computed")
_MATCH = (
    _QUERY_ROOT,
    text("match_id", "name of the matching cell in the other dataset", indexed=True),
    number("score", "similarity of the two cells"),
    flag("validation", "whether somebody confirmed the match", required=False, default=False),
)

SCHEMAS = (
    schema(
        "cell_type_local",
        "CellTypeLocal",
        "a cell type at a point",
        *(_SYSTEM, _TYPE, _PT),
    ),
    reference(
        "cell_type_reference",
        "CellTypeReference",
        "a cell type of an annotated cell",
        *(_SYSTEM, _TYPE),
    ),
    reference(
        "cell_type_reference_user",
        "CellTypeReferenceUser",
        "a cell type of an annotated cell, with its author",
        *(_SYSTEM, _TYPE, user("user who classified the cell")),
    ),
    schema(
        "extended_classical_cell_type",
        "ExtendedClassicalCellType",
        "a classical cell type at a point",
        *(_PT, _TYPE),
    ),
    schema(
        "fly_cell_type",
        "FlyCellType",
        "an insect cell type with its hemisphere",
        *(_PT, _TYPE, _HEMISPHERE),
    ),
    schema(
        "fly_cell_type_ext",
        "FlyCellTypeExt",
        "an insect cell type with hemisphere, driver line and synonym",
        *(_PT, _TYPE, _HEMISPHERE),
        text("driver_line", "name of a driver line", required=False),
        text("synonym", "another name of the type", required=False),
    ),
    schema(
        "nucleus_detection",
        "NucleusDetection",
        "a nucleus with volume and bounding box",
        number("volume", "volume in cubic micrometres", required=False),
        bound("pt", "centre of the nucleus"),
        spatial("bb_start", "lower corner of its bounding box", required=False),
        spatial("bb_end", "upper corner of its bounding box", required=False),
    ),
    schema(
        "cell_match",
        "CellMatch",
        "a cell and its match in another dataset",
        *(_PT, *_MATCH),
    ),
    reference(
        "cell_match_reference",
        "CellMatchReference",
        "the match of an annotated cell in another dataset",
        *_MATCH,
    ),
    schema(
        "cell_similarity",
        "CellSimilarity",
        "two cells of one dataset and how alike they are",
        _PT,
        bound("match_pt", "a point in the other cell"),
        _QUERY_ROOT,
        bigint("match_root_id", "root id of the other cell when the score was computed"),
        number("score", "similarity of the two cells"),
    ),
)
