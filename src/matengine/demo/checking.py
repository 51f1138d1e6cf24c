"""Compare a datastack with the truth that its dataset folder brings."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from matengine.datasets.folder import Dataset
from matengine.datasets.importer import named_supervoxels
from matengine.demo.making import Stage
from matengine.engine import datastacks, schemas
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.segmentation.chunkedgraph.local import LocalGraph

Ids = NDArray[np.int64]
SHOWN = 3


@dataclass
class Check:
    """One comparison. `compared` values, of which some `differences`, the first ones in words."""

    what: str
    compared: int
    differences: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.differences

    def count(self, keys: Ids, got: Ids, wanted: Ids, kind: str) -> None:
        """Compare two arrays place by place."""
        wrong = np.flatnonzero(got != wanted)
        self.differences += len(wrong)
        for i in wrong[: SHOWN - len(self.examples)]:
            self.examples.append(f"{kind} {keys[i]}: {got[i]}, not {wanted[i]}")


@dataclass(frozen=True)
class Truth:
    """The objects at one time: the component (smallest supervoxel) of each supervoxel."""

    time: datetime
    supervoxels: Ids
    components: Ids

    def component_of(self, supervoxels: Ids) -> Ids:
        """0 where there is no supervoxel."""
        place = np.searchsorted(self.supervoxels, supervoxels)
        place = np.minimum(place, len(self.supervoxels) - 1)
        known = self.supervoxels[place] == supervoxels
        return cast(Ids, np.where(known, self.components[place], 0))


def truths(dataset: Dataset) -> list[Truth]:
    """The expected objects, oldest first; none where the folder tells nothing."""
    expected = dataset.expected_roots()
    if expected is None:
        return []
    found = []
    for time in sorted(expected["time"].unique().to_pylist()):
        at = pc.equal(expected["time"], pa.scalar(time, expected["time"].type))
        rows = expected.filter(at).sort_by("supervoxel_id")
        found.append(Truth(time, _ids(rows["supervoxel_id"]), _ids(rows["component"])))
    return found


def check_roots(stage: Stage, dataset: Dataset, truth: Truth) -> Check:
    """The root ids of all supervoxels at a time, up to renaming."""
    roots = _graph(stage).roots(truth.supervoxels, truth.time)
    stage.conn.commit()
    # a folder without a volume may be silent on supervoxels that were never touched
    silent = dataset.grid is None and ~np.isin(truth.supervoxels, named_supervoxels(dataset))
    objects = np.where(silent, truth.supervoxels, _renamed(truth.supervoxels, roots))
    check = Check("root ids of all supervoxels", len(roots))
    check.count(truth.supervoxels, objects, truth.components, "object of")
    return check


def _renamed(supervoxels: Ids, roots: Ids) -> Ids:
    """For each of sorted supervoxels the smallest one of equal root; 0 where it has no root.

    Named so, objects are equal where their members are.
    """
    _, first, place = np.unique(roots, return_index=True, return_inverse=True)
    return cast(Ids, np.where(roots == 0, 0, supervoxels[first[place]]))


def check_rows(stage: Stage, dataset: Dataset, version: int, truth: Truth) -> Iterator[Check]:
    """Each table of a version: its rows are those alive at the time, its supervoxels those
    expected, its roots those of the expected supervoxels."""
    roots = _graph(stage).roots(truth.supervoxels, truth.time)
    order = np.argsort(roots, kind="stable")
    of_root = Truth(truth.time, roots[order], truth.components[order])
    for table in dataset.tables:
        rows = answer.ask(stage.conn, stage.datastack, version, Query(table.name))
        stage.conn.commit()
        wanted = (
            table.expected_supervoxels()
            .filter(pc.is_in(table.expected_supervoxels()["id"], _alive(table.read(), truth.time)))
            .sort_by("id")
        )
        check = Check(f"rows, supervoxels and roots of {table.name}", rows.num_rows)
        ids, wanted_ids = _ids(rows["id"]), _ids(wanted["id"])
        if not np.array_equal(ids, wanted_ids):
            check.differences += len(np.setxor1d(ids, wanted_ids))
            check.examples.append(f"{len(ids)} rows, not {len(wanted_ids)}")
            yield check
            continue
        for columns in schemas.bound_columns(schemas.get(table.schema)):
            expected = f"expected_{columns.supervoxel_id}"
            if expected not in wanted.column_names:
                continue
            truly = _ids(pc.fill_null(wanted[expected], 0))
            check.count(ids, _ids(rows[columns.supervoxel_id]), truly, columns.supervoxel_id)
            component = of_root.component_of(_ids(rows[columns.root_id]))
            check.count(ids, component, truth.component_of(truly), f"object of {columns.root_id}")
        yield check


def check_operations(stage: Stage, dataset: Dataset) -> Iterator[Check]:
    """How many roots each operation retired and made."""
    expected = dataset.expected_operations()
    if expected is None:
        return
    done = {operation.operation_id: operation for operation in _graph(stage).list_operations()}
    stage.conn.commit()
    numbers = _ids(expected["operation_id"])
    here = [done.get(number) for number in numbers.tolist()]
    check = Check("roots retired and made by each operation", len(numbers))
    for column, kind in (("roots_retired", "former_roots"), ("roots_made", "new_roots")):
        got = np.array([-1 if o is None else len(getattr(o, kind)) for o in here], np.int64)
        check.count(numbers, got, _ids(expected[column]), f"{column} of operation")
    yield check


def _alive(rows: pa.Table, at: datetime) -> pa.Array:
    """The ids of rows with created <= at < deleted."""
    moment = pa.scalar(at, pa.timestamp("us", "UTC"))
    there = pc.less_equal(rows["created"], moment)
    if "deleted" in rows.column_names:
        there = pc.and_(there, pc.fill_null(pc.greater(rows["deleted"], moment), True))
    return rows.filter(there)["id"].combine_chunks()


def _graph(stage: Stage) -> LocalGraph:
    return LocalGraph(stage.conn, datastacks.get(stage.conn, stage.datastack).segmentation.name)


def _ids(column: pa.ChunkedArray) -> Ids:
    return cast(Ids, column.to_numpy().astype(np.int64))
