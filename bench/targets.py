"""What is aimed at: figures that have a target, and whether they meet it."""

from dataclasses import dataclass

from bench.figure import Figure


@dataclass(frozen=True)
class Target:
    """At most or at least `bound`, of the figure, or of its ratio to the stand-in.

    rows: of how many rows it is meant; None for any.
    """

    bound: float
    least: bool = False
    ratio: bool = False
    rows: int | None = None

    def met(self, figure: Figure) -> bool:
        value = figure.ratio if self.ratio else figure.ours
        assert value is not None
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.least else "≤"
        if self.ratio and self.bound < 1:
            return f"{sign} 1/{1 / self.bound:.0f} of the stand-in"
        return f"{sign} {self.bound:,g}" + (" × the stand-in" if self.ratio else "")


MILLION = 1_000_000
TARGETS = {
    "a version, 1 % changed: CPU": Target(1 / 30, ratio=True, rows=MILLION),
    "a version, 1 % changed: disk": Target(1 / 80, ratio=True, rows=MILLION),
    "a version, 10,000 rows changed: CPU": Target(1 / 150, ratio=True, rows=10 * MILLION),
    "10,000 rows changed, beside those in a table of a tenth: CPU": Target(2, ratio=True),
    "ingest": Target(30_000, least=True, rows=MILLION),
    "bulk load": Target(100_000, least=True, rows=MILLION),
    "one root: CPU": Target(8),
    "one root: p50": Target(12),
    "one root, 32 clients: requests": Target(200, least=True),
    "100 roots: CPU": Target(60),
    "500,000 rows: CPU": Target(1100),
    "500,000 rows: memory above idle": Target(150),
    "HTTP, at a new moment each, 0.1 % pending: CPU": Target(1.3, ratio=True, rows=MILLION),
    "HTTP, at a new moment each, 1 % pending: CPU": Target(1.5, ratio=True, rows=MILLION),
    "graph: roots in the middle": Target(1.5),
    "graph: merge two halves": Target(0.5),
    "graph: split at a contact": Target(0.5),
    "graph: split across a plane": Target(0.5),
}


def of(figure: Figure) -> Target | None:
    """The target of a figure, where it has one."""
    target = TARGETS.get(figure.name)
    return target if target and target.rows in (None, figure.rows) else None
