"""Figures that were taken at several sizes, drawn: cost against rows, both axes logarithmic."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from bench.figure import Figure
from matengine.errors import Invalid

# those that say how a version scales; where none is there, all are drawn
SHOWN = ("CPU", "disk", "WAL")


def draw(figures: Iterable[Figure], path: Path) -> None:
    """Draw what was measured at more than one size; raises Invalid where nothing was."""
    by_name: dict[str, list[Figure]] = defaultdict(list)
    for figure in figures:
        by_name[figure.name].append(figure)
    series = {name: found for name, found in by_name.items() if len({f.rows for f in found}) > 1}
    if not series:
        raise Invalid("Nothing was measured at more than one size.", "Try: ./mat bench scaling")
    compared = [name for name, found in series.items() if found[0].stand_in is not None]
    kinds = [k for k in SHOWN if any(name.endswith(f": {k}") for name in compared)]
    # the same figures give the same file, a small one whose words are text
    plt.rcParams |= {"svg.hashsalt": "matengine", "svg.fonttype": "none"}
    drawing, axes = plt.subplots(1, len(kinds), figsize=(3.6 * len(kinds), 3.4), squeeze=False)
    for kind, ax in zip(kinds, axes[0], strict=True):
        _panel(ax, kind, {n: series[n] for n in compared if n.endswith(f": {kind}")})
    axes[0][0].legend(frameon=False, fontsize=8)
    drawing.tight_layout()
    drawing.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(drawing)


def _panel(ax: Axes, kind: str, series: dict[str, list[Figure]]) -> None:
    """One line a figure, and one for the classic way, which costs about the same in each."""
    classic: dict[int, float] = {}
    for name, found in series.items():
        ax.plot([f.rows for f in found], [f.ours for f in found], "o-", label=name.split(":")[0])
        classic |= {f.rows: f.stand_in for f in found if f.stand_in is not None}
    ax.plot(
        *zip(*sorted(classic.items()), strict=True), "s--", color="0.4", label="the classic way"
    )
    ax.set(xscale="log", yscale="log", xlabel="rows of the table")
    ax.set_xticks(sorted(classic), [f"{n:,}" for n in sorted(classic)])
    ax.minorticks_off()
    ax.set_title(f"{kind}, {next(iter(series.values()))[0].unit}", fontsize=10)
    ax.grid(alpha=0.3)
