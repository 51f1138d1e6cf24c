"""How much of everything a sample of a given size holds."""

from dataclasses import dataclass

from matengine.errors import Invalid

Triple = tuple[int, int, int]

RESOLUTION_NM = (32.0, 32.0, 40.0)
"""One voxel of the sample's volume."""

SMALLEST, LARGEST = 32, 8192
# The size that the counts below are told for
_REFERENCE = 256**3


@dataclass(frozen=True)
class Plan:
    """Sizes in voxels, counts for the whole volume. All follow from `size` alone."""

    size: Triple
    seed: int

    @property
    def chunk(self) -> Triple:
        """Chunkedgraph chunks; small ones where the volume would have but one."""
        edge = 64 if min(self.size) >= 128 else 32
        return (edge, edge, edge)

    @property
    def grid(self) -> Triple:
        """Chunks an axis."""
        x, y, z = (-(-s // c) for s, c in zip(self.size, self.chunk, strict=True))
        return (x, y, z)

    @property
    def soma_radius(self) -> float:
        return min(14.0, min(self.size) / 8)

    @property
    def vessel_radius(self) -> float:
        return min(12.0, min(self.size) / 12)

    @property
    def cells(self) -> int:
        """Neurons with their soma in the volume."""
        return max(2, self._share(24))

    @property
    def fragments(self) -> int:
        """About how many pieces the watershed leaves, before chunks cut them."""
        return self._share(13_000)

    @property
    def missing_merges(self) -> int:
        """About how many merges the first agglomeration missed; a history has its limits."""
        return min(4000, max(8, self._share(1000)))

    @property
    def false_merges(self) -> int:
        return min(1000, max(6, self._share(250)))

    @property
    def mistakes(self) -> int:
        """Operations that proofreaders make and undo."""
        return min(100, max(3, self._share(25)))

    @property
    def idle_operations(self) -> int:
        """Operations that (mostly) change no object."""
        return min(40, max(2, self._share(12)))

    @property
    def synapses(self) -> int:
        return max(40, self._share(10_000))

    def _share(self, count: int) -> int:
        x, y, z = self.size
        return count * x * y * z // _REFERENCE


def make_plan(size: int | Triple, seed: int) -> Plan:
    """The plan of a cube or a box; raises Invalid for a size that cannot be."""
    sizes = (size, size, size) if isinstance(size, int) else size
    if len(sizes) != 3 or not all(SMALLEST <= s <= LARGEST for s in sizes):
        raise Invalid(
            f"A sample cannot be {' x '.join(map(str, sizes))} voxels.",
            f"Give one length or three, each from {SMALLEST} to {LARGEST}.",
        )
    if seed < 0:
        raise Invalid(f"The seed cannot be {seed}.", "Give a whole number from 0 on.")
    return Plan(sizes, seed)
