"""Few rows are put in order here, which is cheaper than there.

PostgreSQL would copy each row whole, into its sort and out again; here ids are sorted, and columns
follow. How many rows there are shows only when they are read; those of some root ids are mostly
few. So these are asked for in any order, up to a bound, and again in order where there are more.
"""

import numpy as np
import pyarrow as pa

from matengine.engine.query.compose import Body
from matengine.engine.query.model import Op
from matengine.engine.query.packing import Sent
from matengine.engine.query.shaping import Shape

FEW = 32_768
"""To have so many sorted there costs 9 ms more than here; to read them in vain, 55."""
MOST_IDS = 200
_NAMING = (Op.IN, Op.EQUAL)


def may_be_few(body: Body) -> bool:
    """Whether to try: some root ids are asked about, and not just the first rows of them."""
    query = body.query
    first = query.offset or query.random_sample is not None
    if first or (query.limit is not None and query.limit < FEW):
        return False
    for asked in query.filters:
        column = body.relations[asked.table].by_name.get(asked.column)
        if asked.op in _NAMING and column is not None and column.is_root:
            return asked.op is Op.EQUAL or len(asked.value) <= MOST_IDS
    return False


def few(reader: pa.RecordBatchReader, shape: Shape) -> pa.RecordBatch | None:
    """All rows of a reader by the keys of a shape, as they came; None for more than FEW."""
    table = reader.read_all()
    if table.num_rows > FEW:
        return None
    whole = table.combine_chunks().to_batches()
    if not whole:
        return pa.RecordBatch.from_pylist([], schema=table.schema)
    # the last key given counts most
    sent = Sent(shape.packing, whole[0])
    order = np.lexsort([sent.column(key).to_numpy() for key in reversed(shape.keys)])
    return whole[0].take(pa.array(order))
