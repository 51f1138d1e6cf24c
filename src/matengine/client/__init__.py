"""A client of a Materialization Engine, beside CAVEclient: typed, thin, nothing kept.

    from matengine.client import connect

    cortex = connect("http://localhost:8000", "cortex")
    cortex.query("synapses", at=42, isin={"pre_pt_root_id": [864691135]}).num_rows

Needs requests and pyarrow alone; pandas and polars where frames of theirs are asked for.
"""

from matengine.client.datastack import Datastack, connect
from matengine.client.running import Run

__all__ = ["Datastack", "Run", "connect"]
