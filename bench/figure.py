"""One measured number, beside that of the classic way."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """What something costs: ours, and the stand-in's where it was run on the same data in turn.

    rows: how many rows the data had. note: what a reader must know to judge the number.
    """

    name: str
    ours: float
    stand_in: float | None
    unit: str
    rows: int
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours as a part of the stand-in's; None where there is none to compare with."""
        return self.ours / self.stand_in if self.stand_in else None

    def record(self) -> dict[str, object]:
        """name, ours, stand_in, ratio, unit, rows, note: what `--json` writes."""
        return asdict(self) | {"ratio": self.ratio}
