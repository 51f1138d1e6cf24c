"""Plain references: a value, a tag or a point attached to another annotation."""

from .declare import TARGET, VALID, bound, integer, number, reference, schema, text
from .model import Schema

_TAG = text("tag", "the tag")
_PT = bound("pt", "a point in the object, which links it to the segmentation")
_GROUP = "number of the group that the annotation belongs to"

SCHEMAS = (
    reference("simple_reference", "ReferenceAnnotation", "a bare reference to an annotation"),
    Schema(
        "reference_tag",
        "ReferenceTagAnnotation",
        "a tag on an annotation",
        (_TAG, VALID, TARGET),
    ),
    Schema(
        "reference_tag_float",
        "ReferenceTagFloat",
        "a tag and a number on an annotation",
        (_TAG, VALID, TARGET, number("value", "the number")),
    ),
    reference(
        "reference_tag_with_confidence",
        "ReferenceTagWithConfidence",
        "a confidence in an annotation",
        number("confidence", "the confidence"),
    ),
    reference(
        "reference_integer",
        "ReferenceInteger",
        "an integer on an annotation",
        integer("value", "the integer"),
    ),
    reference("reference_point", "FlatSegmentationReferenceSinglePoint", "a point of it", _PT),
    schema("representative_point", "RepresentativePoint", "a point that stands for a cell", _PT),
    reference(
        "reference_simple_group",
        "SimpleGroup",
        "membership in a group",
        integer("group_id", _GROUP),
    ),
    reference(
        "reference_simple_group_indexed",
        "SimpleGroupIndexed",
        "membership in a group, indexed by group",
        integer("group_id", _GROUP, indexed=True),
    ),
    reference(
        "fly_neuropil",
        "FlyNeuropil",
        "the neuropil that an annotation lies in",
        text("neuropil", "name of the neuropil"),
    ),
)
