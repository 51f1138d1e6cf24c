"""What viewers and clients must know of a segmentation: its `info`."""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.graphs import Source, open_graph
from matengine.api.volume import address
from matengine.api.wire import reply
from matengine.segmentation.chunkedgraph.ids import (
    DEFAULT_N_LAYERS,
    LAYER_BITS,
    spatial_bit_masks,
)
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.segmentation.volume import Volume

# the chunk size that a graph without a volume tells, as PyChunkedGraph's is by default
_CHUNK_SIZE = [64, 64, 64]
_NO_VOLUME = {"type": "segmentation", "data_type": "uint64", "num_channels": 1, "scales": []}

api = APIBlueprint(
    "segmentation",
    __name__,
    url_prefix="/segmentation",
    abp_tags=[Tag(name="segmentation", description="What a segmentation is made of")],
)


class Table(BaseModel):
    """The name of a chunkedgraph."""

    table: str


@api.get("/table/<string:table>/info", summary="Volume and chunkedgraph, for graphene:// readers")
def info(path: Table) -> Response:
    with open_graph(path.table) as (graph, source):
        volume = None if source.volume is None else source.open_volume()
        return reply(_info(graph, source, volume))


def _info(graph: LocalGraph, source: Source, volume: Volume | None) -> dict[str, Any]:
    n_layers = graph.n_layers or DEFAULT_N_LAYERS
    masks = {str(layer): bits for layer, bits in spatial_bit_masks(n_layers).items()}
    voxels = dict(_NO_VOLUME)
    if volume is not None:
        # the supervoxels' scale first: clients take the first as the graph's
        scales = list(volume.info["scales"])
        scales.insert(0, scales.pop(volume.scale.index))
        voxels = volume.info | {"scales": scales, "data_dir": address(source.name, volume)}
    return voxels | {
        "app": {"supported_api_versions": [0, 1]},
        "chunks_start_at_voxel_offset": True,
        "graph": {
            "chunk_size": source.chunk_size or list(graph.chunk_size or _CHUNK_SIZE),
            "bounding_box": list(volume.scale.size) if volume is not None else [0, 0, 0],
            "n_layers": n_layers,
            "n_bits_for_layer_id": LAYER_BITS,
            "cv_mip": 0,
            "spatial_bit_masks": masks,
        },
        "verify_mesh": False,
        "sharded_mesh": True,
    }
