"""The demo, whole: exit code and figures; and that it does find a difference."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from matengine.box import accounts
from matengine.datasets.sample import make_sample

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MATENGINE_")}


def demo(*words: str | Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "matengine", "demo", *map(str, words)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"TMPDIR": str(temporary)},
        timeout=280,
    )


def test_it_ends_well_with_figures_and_leaves_its_box_where_it_was_asked_to(
    tmp_path: Path,
) -> None:
    dataset, box, figures = (tmp_path / name for name in ("dataset", "box", "figures.json"))
    make_sample(dataset, size=64)
    done = demo("--dataset", dataset, "--data", box, "--json", figures, temporary=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_bytes())
    assert told["ok"]
    assert [check for check in told["checks"] if not check["ok"]] == []

    # one version for each time with a truth, and one of today
    versions = told["versions"]
    assert [version["version"] for version in versions] == [1, 2, 3, 4, 5, 6]
    first, *later, last = versions
    assert first["rows"] == first["rows_added"] > 0 == first["rows_closed"]
    for before, after in zip(versions, [*later, last], strict=False):
        assert after["rows"] == before["rows"] + after["rows_added"] - after["rows_closed"]
    assert (
        sum(v["operations"] for v in [first, *later])
        == pq.read_table(dataset / "edits.parquet").num_rows
    )
    assert all(version["wal_bytes"] > 0 for version in versions)
    assert any(check["what"].startswith("roots retired") for check in told["checks"])
    assert sum(check["compared"] for check in told["checks"]) > 1000

    # the neuron whose partners change, in all versions, and its root in each
    answers = told["answers"]
    assert [answer["version"] for answer in answers] == [1, 2, 3, 4, 5, 6]
    assert len({answer["partners"] for answer in answers}) > 1
    assert len({answer["root_id"] for answer in answers}) > 1
    assert f"matengine up --data {box}" in done.stdout

    again = demo("--dataset", dataset, "--data", box, temporary=tmp_path)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    accounts.remove(box / "services")


def test_a_difference_from_the_truth_is_shown_and_ends_with_1(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    a, b, c = ((1 << 56) + number for number in (1, 2, 3))
    folder, temporary = tmp_path / "graph", tmp_path / "tmp"
    (folder / "expected").mkdir(parents=True)
    temporary.mkdir(mode=0o711)
    (folder / "datastack.toml").write_text(
        f'[datastack]\nname = "wrong"\n[aligned_volume]\nname = "wrong_av"\n[segmentation]\n'
        f'name = "wrong_seg"\nstart_time = {start.isoformat()}\nedges = "edges.parquet"\n'
    )
    edges = {"supervoxel_a": [a, b], "supervoxel_b": [b, c]}
    pq.write_table(pa.table(edges), folder / "edges.parquet")
    # in truth all three are one object
    truth = {
        "time": pa.array([start + timedelta(days=1)] * 3, pa.timestamp("ms", "UTC")),
        "supervoxel_id": [a, b, c],
        "component": [a, a, c],
    }
    pq.write_table(pa.table(truth), folder / "expected" / "roots_at.parquet")

    done = demo("--dataset", folder, temporary=temporary)
    assert done.returncode == 1, done.stderr
    assert f"1 of 3\n  object of {c}: {a}, not {c}" in done.stdout
    # a box that nobody asked to keep is gone
    assert list(temporary.iterdir()) == []
