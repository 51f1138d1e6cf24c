"""Tags and values at points."""

from .declare import VALID, bigint, bound, flag, number, schema, spatial, text, user
from .model import CHUNK, LEVEL, POSITION, ROOT, SUPERVOXEL, Field, Kind, Schema

_PT = bound("pt", "the point that the tag is about")
_PT2 = bound("pt2", "the point that the second tag is about")
_TAG = text("tag", "free text")
_TAG2 = text("tag2", "more free text")
_YES_NO = flag("tag", "true or false at the point")
_WHO = "user who wrote the tag"
_ROOT_THEN = bigint("valid_id", "root id at the point when it was judged")
_DERIVED_PT = Field("pt", Kind.DERIVED_POINT, "the point, with the chunk it depends on")

SCHEMAS = (
    schema("bound_tag", "BoundTagAnnotation", "a tag at a point", _PT, _TAG),
    schema(
        "bound_double_tag",
        "BoundDoubleTagAnnotation",
        "two tags at a point",
        *(_PT, _TAG, _TAG2),
    ),
    schema(
        "bound_2tag",
        "Bound2TagAnnotation",
        "two points with a tag each",
        *(_PT, _TAG, _PT2, _TAG2),
    ),
    schema(
        "bound_tag_user",
        "BoundTagAnnotationUser",
        "a tag at a point, with its author",
        *(_PT, _TAG, user(_WHO)),
    ),
    schema(
        "bound_double_tag_user",
        "BoundDoubleTagAnnotationUser",
        "two tags at a point, with their author",
        *(_PT, _TAG, _TAG2, user(_WHO, required=False)),
    ),
    schema(
        "bound_2tag_user",
        "Bound2TagAnnotationUser",
        "two points with a tag each, with their author",
        *(_PT, _TAG, _PT2, _TAG2, user(_WHO)),
    ),
    schema(
        "braincircuits_annotation_user",
        "BrainCircuitsBoundTagAnnotationUser",
        "a tag at a point from BrainCircuits, with its author",
        *(_PT, _TAG, user(_WHO)),
    ),
    schema("bound_tag_bool", "BoundBoolAnnotation", "yes or no at a point", _PT, _YES_NO),
    schema(
        "bound_tag_bool_valid",
        "BoundBoolWithValid",
        "yes or no at a point, and the root it was said of",
        *(_PT, _YES_NO, _ROOT_THEN),
    ),
    schema(
        "bound_tag_valid",
        "BoundTagWithValid",
        "a tag at a point, and the root it was said of",
        *(_PT, _TAG, _ROOT_THEN),
    ),
    schema(
        "pt_bool_valid",
        "SpatialPointBoolWithValid",
        "yes or no at a point outside the segmentation",
        spatial("pt", "the point that it is about"),
        *(_YES_NO, _ROOT_THEN),
    ),
    Schema(
        "derived_spatial_point",
        "DerivedSpatialPoint",
        "a point with the chunk it depends on",
        (POSITION, SUPERVOXEL, ROOT, CHUNK, LEVEL),
    ),
    Schema(
        "derived_tag",
        "DerivedTag",
        "a tag at a point with its chunk",
        (VALID, _DERIVED_PT, text("tag", "what the point is")),
    ),
    Schema(
        "derived_numeric_value",
        "DerivedNumeric",
        "a number at a point with its chunk",
        (VALID, _DERIVED_PT, number("value", "the number", required=False)),
    ),
)
