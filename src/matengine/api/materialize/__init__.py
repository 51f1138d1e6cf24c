"""The materialization API as CAVE's clients know it: versions, their tables, queries, runs.

Beside these what its own client asks: differences, proof and histories.
"""

from matengine.api.materialize import (
    neuroglancer,
    pace,
    proof,
    queries,
    runs,
    service,
    starting,
    tables,
    versions,
    views,
)

BLUEPRINTS = (
    service.api,
    versions.api,
    tables.api,
    queries.api,
    views.api,
    neuroglancer.api,
    proof.api,
    runs.api,
    starting.api,
    pace.api,
)
