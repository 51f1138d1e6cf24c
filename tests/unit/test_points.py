"""Points as PostGIS sends them, in any batch: with NULLs, empty ones, reference systems, slices."""

import struct

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from matengine.engine.query import points as wkb

Z, SRID = 0x80000000, 0x20000000
Point = tuple[float, float, float] | None


def ewkb(point: Point, srid: int | None, order: str) -> bytes | None:
    """EWKB of a PointZ; an empty one has NaN for each coordinate (liblwgeom, lwout_wkb.c)."""
    if point is None:
        return None
    kind = struct.pack(f"{order}I", 1 | Z | (0 if srid is None else SRID))
    system = b"" if srid is None else struct.pack(f"{order}I", srid)
    first = b"\1" if order == "<" else b"\0"
    return first + kind + system + struct.pack(f"{order}3d", *point)


numbers = st.floats(allow_nan=False)
points = st.one_of(
    st.none(),
    st.just((float("nan"),) * 3),
    st.tuples(numbers, numbers, numbers),
    st.tuples(st.just(float("nan")), numbers, numbers),
)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(points, st.sampled_from([None, 4326]))),
    order=st.sampled_from("<>"),
    sliced=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_coordinates(
    rows: list[tuple[Point, int | None]], order: str, sliced: tuple[int, int]
) -> None:
    sent = pa.array([ewkb(point, srid, order) for point, srid in rows], pa.binary())
    start, stop = sliced[0], max(sliced[0], len(rows) - sliced[1])
    told = [point for point, _ in rows[start:stop]]
    shown = [None if p is None or all(n != n for n in p) else p for p in told]
    found = wkb.of_binary(sent.slice(start, stop - start))
    for axis, values in enumerate(found):
        assert values.type == pa.float64()
        wanted = [None if point is None else point[axis] for point in shown]
        assert list(map(repr, values.to_pylist())) == list(map(repr, wanted))  # NaN is itself
