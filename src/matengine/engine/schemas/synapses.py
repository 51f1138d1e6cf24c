"""Synapses, contacts and what is said of them."""

from .declare import bound, flag, integer, number, reference, schema, spatial, text

_PRE = bound("pre_pt", "a point in the presynaptic neuron, near the synapse", order=0)
_POST = bound("post_pt", "a point in the postsynaptic neuron, near the synapse", order=2)
_CENTRE = spatial("ctr_pt", "the middle of the synapse", order=1)
_SIZE = number("size", "size of the synapse; the table says in which unit", required=False)
_FLY_SCORES = (
    number("connection_score", "confidence in the connection", required=False),
    number("cleft_score", "evidence of a synaptic cleft", required=False),
)
_TRANSMITTERS = tuple(
    number(name, f"probability of {transmitter}", required=False)
    for name, transmitter in [
        ("gaba", "GABA"),
        ("ach", "acetylcholine"),
        ("glut", "glutamate"),
        ("oct", "octopamine"),
        ("ser", "serotonin"),
        ("da", "dopamine"),
    ]
)

SCHEMAS = (
    schema(
        "synapse",
        "SynapseSchema",
        "a synapse with both sides and its centre",
        *(_PRE, _POST, _CENTRE, _SIZE),
    ),
    schema(
        "nocleft_synapse",
        "NoCleftSynapse",
        "a synapse with a detection score and no centre",
        *(_PRE, _POST, number("score", "detection score", required=False)),
    ),
    schema(
        "nocenter_synapse",
        "NoCenterSynapse",
        "a synapse with a size and no centre",
        *(_PRE, _POST, _SIZE),
    ),
    schema(
        "fly_synapse",
        "BuhmannSynapseSchema",
        "an insect synapse with two scores",
        *(_PRE, _POST, *_FLY_SCORES),
    ),
    schema(
        "fly_nt_synapse",
        "BuhmannEcksteinSynapseSchema",
        "an insect synapse with predicted transmitters",
        *(_PRE, _POST, *_FLY_SCORES, *_TRANSMITTERS),
        flag("valid_nt", "whether a transmitter was predicted", required=False),
    ),
    schema(
        "plastic_synapse",
        "PlasticSynapse",
        "a synapse with a rated plasticity",
        *(_PRE, _POST, _CENTRE, _SIZE),
        integer("plasticity", "0 none, 1 normal, 2 mild, 3 strong, 4 unrated", *range(5)),
    ),
    reference(
        "reference_synapse_valid",
        "ValidSynapse",
        "a verdict on a synapse",
        flag("is_valid", "whether it is a real synapse"),
    ),
    reference(
        "bouton_shape",
        "BoutonShape",
        "the shape of a bouton",
        text("shape", "class of shape", "pancake", "basmati", "potato"),
    ),
    reference(
        "presynaptic_bouton_type",
        "PresynapticBoutonType",
        "the presynaptic type, judged by the bouton",
        text(
            "bouton_type",
            "type of the bouton",
            *("pancake", "basmati", "potato", "sst", "vertical", "vip", "ivy", "clutch"),
            "chandelier",
        ),
    ),
    reference(
        "postsynaptic_compartment",
        "PostsynapticCompartment",
        "the part of the neuron that a synapse lands on",
        text("compartment", "part of the postsynaptic neuron", "soma", "dendrite", "axon"),
        flag("on_spine", "whether the synapse is on a spine", required=False),
        text("dendrite_class", "class of the dendrite", "basal", "apical", required=False),
    ),
    schema(
        "spine_with_info",
        "SpineWithInfo",
        "a dendritic spine",
        bound("pt", "a point in the spine"),
        number("volume", "estimated volume", required=False),
        integer("n_inputs", "number of different presynaptic roots", required=False),
    ),
    schema(
        "glia_contact",
        "GliaContact",
        "a contact of glia with something else",
        bound("glia_pt", "a point on the glia's side", order=0),
        bound("object_pt", "a point on the other side", order=2),
        number("size", "size of the contact", required=False),
    ),
    schema(
        "contact",
        "Contact",
        "a contact of two objects",
        integer("size", "area of the contact in voxels", required=False),
        bound("sidea_pt", "a point on the first side"),
        bound("sideb_pt", "a point on the second side"),
        spatial("ctr_pt", "a point where they touch", required=False),
    ),
)
