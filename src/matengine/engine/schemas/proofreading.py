"""How far neurons are proofread."""

from .declare import bigint, bound, flag, schema, text, user

_PT = bound("pt", "a point in the trunk of the proofread cell")
_ROOT_THEN = bigint("valid_id", "root id of the cell when its status was given")
_LEVELS = ("non", "clean", "extended")

SCHEMAS = (
    schema(
        "proofread_status",
        "ProofreadStatus",
        "status of a whole cell",
        _PT,
        _ROOT_THEN,
        text("status", "not proofread, false merges removed, or tips extended too", *_LEVELS),
    ),
    schema(
        "compartment_proofread_status",
        "CompartmentProofreadStatus",
        "status of dendrite and axon",
        _PT,
        _ROOT_THEN,
        text("status_dendrite", "status of the dendrite", *_LEVELS),
        text("status_axon", "status of the axon", *_LEVELS),
    ),
    schema(
        "compartment_proofread_status_strategy",
        "CompartmentProofreadStatusStrategy",
        "status and strategy of dendrite and axon",
        _PT,
        _ROOT_THEN,
        flag("status_dendrite", "whether the dendrite is at least clean"),
        flag("status_axon", "whether the axon is at least clean"),
        text("strategy_dendrite", "how the dendrite was proofread"),
        text("strategy_axon", "how the axon was proofread"),
    ),
    schema(
        "proofreading_boolstatus_user",
        "ProofreadingBoolStatusUser",
        "whether a cell is proofread, with who says so",
        _PT,
        _ROOT_THEN,
        flag("proofread", "whether the cell is proofread"),
        user("user who judged the cell"),
    ),
)
