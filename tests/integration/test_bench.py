"""`./mat bench`: it runs, both ways show the same rows, and the figures are those it writes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = 2000


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_versions_beside_the_classic_way(tmp_path: Path) -> None:
    """That both show the same rows is checked by the benchmark itself, which fails otherwise."""
    told = tmp_path / "figures.json"
    done = bench("versions", "--rows", str(ROWS), "--json", str(told))
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(told.read_text())}
    for figure in figures.values():
        assert list(figure) == ["name", "ours", "stand_in", "unit", "rows", "note", "ratio"]
        assert figure["rows"] == ROWS
        assert figure["name"] in done.stdout
    for what in ("CPU", "wall", "disk", "WAL", "peak memory"):
        figure = figures[f"a version, 1 % changed: {what}"]
        assert figure["ratio"] == figure["ours"] / figure["stand_in"]
    # a copy of a database holds at least what an empty one does, a version only what changed
    assert 0 < figures["a version, 1 % changed: disk"]["ratio"] < 0.1


def test_what_there_is() -> None:
    done = bench("verzions")
    assert done.returncode == 1
    assert done.stderr.strip() == "There is no benchmark 'verzions'. Did you mean 'versions'?"
