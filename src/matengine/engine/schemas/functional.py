"""Links between anatomy and recorded activity."""

from .declare import bound, integer, number, reference, schema

_SOMA = bound("pt", "a point in the soma of the recorded cell")
_UNIT = (
    integer("session", "imaging session"),
    integer("scan_idx", "scan within the session"),
    integer("unit_id", "cell within the scan"),
)
_FIT = (
    number("residual", "distance that remains after registration", required=False),
    number("score", "confidence in the match", required=False),
)
_TUNING = (
    number("pref_ori", "preferred orientation"),
    number("pref_dir", "preferred direction"),
    number("gOSI", "global orientation selectivity"),
    number("gDSI", "global direction selectivity"),
    number("cc_abs", "performance of the model of this cell; higher is better"),
)

SCHEMAS = (
    schema(
        "microns_func_coreg",
        "FunctionalCoregistration",
        "a recorded cell found in the volume",
        *(_SOMA, integer("func_id", "number of the recorded cell")),
    ),
    schema(
        "microns_func_unit_coreg",
        "FunctionalUnitCoregistration",
        "a recorded unit found in the volume",
        *(_SOMA, *_UNIT),
    ),
    schema(
        "v1dd_func_unit_coreg",
        "V1DDFunctionalUnitCoregistration",
        "a recorded region of interest found in the volume",
        _SOMA,
        integer("column", "column of stacked volumes"),
        integer("volume", "volume within the column"),
        integer("plane", "imaging plane within the volume", required=False),
        integer("roi", "region of interest within the plane"),
        *_FIT,
    ),
    reference(
        "func_unit_ext_coreg",
        "FunctionalUnitCoregistrationExtended",
        "a recorded unit matched to an annotated cell",
        *_UNIT,
        integer("field", "imaging field within the scan", required=False),
        *_FIT,
    ),
    reference(
        "func_properties_bcm",
        "FunctionalPropertiesBCM",
        "tuning of an annotated cell; angles in radians",
        *(_UNIT + _TUNING),
    ),
    reference(
        "digital_twin_properties",
        "DigitalTwinPropertiesBCM",
        "tuning of a model of an annotated cell; angles in degrees",
        *(_UNIT + _TUNING),
        number("cc_max", "variability of the cell, which bounds the model"),
        number("cc_norm", "performance relative to that bound"),
        number("OSI", "orientation selectivity"),
        number("DSI", "direction selectivity"),
        number("readout_loc_x", "x of the readout in stimulus space, -1 left to 1 right"),
        number("readout_loc_y", "y of the readout in stimulus space, -1 bottom to 1 top"),
    ),
)
