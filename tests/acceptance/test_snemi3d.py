"""What people do with a real dataset, imported once: their calls, an example, live ones."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from frame_judge import fault
from live_asking import SETTING, Client, ask_at_any_moment
from real_world import BruteTruth, imported
from served import ClientProcess, Served, server_process
from shape_frames import Asked
from shapes import MOMENT, asked

from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query

CHECKOUT = Path(__file__).resolve().parents[2]
SHAPES = CHECKOUT.parent / "shared" / "data" / "query_shapes.jsonl"
EXAMPLE = CHECKOUT / "examples" / "connectivity.py"
VERSIONS = [datetime(2026, *day, tzinfo=UTC) for day in ((1, 10), (2, 10), (3, 1))]


@dataclass(frozen=True)
class Snemi:
    """The dataset in three versions, and who asks it."""

    client: Client
    served: Served
    truth: BruteTruth


@pytest.fixture(scope="module")
def snemi(
    server_url: str, datasets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Snemi]:
    folder = tmp_path_factory.mktemp("snemi3d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        with (
            server_process({}) as url,
            ClientProcess() as process,
            imported(datasets / "snemi3d", folder / "dataset", url) as (served, truth),
        ):
            truth.freeze(VERSIONS)
            yield Snemi(Client(process, url, folder), served, truth)


def test_calls_that_people_make(snemi: Snemi, capsys: pytest.CaptureFixture[str]) -> None:
    """From notebooks, scripts and R; pandas judges the answers."""
    dice = random.Random(7)
    shapes = [json.loads(line) for line in SHAPES.read_text().splitlines()]
    truth, client = snemi.truth, snemi.client
    moments = {number: truth.frames(VERSIONS[number - 1]) for number in (1, 2)}
    moments["live"] = truth.frames(MOMENT)
    moments["by the client"] = truth.frames(VERSIONS[1], MOMENT)
    found = [asked(shape, moments["live"], dice) for shape in shapes]
    calls = [one for one in found if isinstance(one, Asked)]
    client.process.run(SETTING.format(datastack=snemi.served.datastack, url=client.url))
    answers = client.frames([one.code() for one in calls])
    faults = [fault(one, frame, moments) for one, frame in zip(calls, answers, strict=True)]
    wrong = [told for told in faults if told]
    left_out = Counter(one for one in found if isinstance(one, str))
    rows = sum(map(len, answers))
    with capsys.disabled():
        print(f"\n{len(calls)} of {len(shapes)} shapes asked, {rows} rows; left out: {left_out}")
    assert not wrong, "\n".join(wrong[:20])
    assert len(calls) > 200
    assert sum(bool(len(frame)) for frame in answers) > 0.8 * len(calls)


def test_the_example_draws_what_the_engine_says(snemi: Snemi, tmp_path: Path) -> None:
    server, conn = snemi.served, snemi.truth.conn
    # the picture of docs/examples.md is made by naming it here
    picture = Path(os.environ.get("CONNECTIVITY_OUT", tmp_path / "partners.svg"))
    words = ["--server", server.url, "--datastack", server.datastack, "--out", str(picture)]
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *words],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    neuron = int(said[said.index("supervoxel") + 1].rstrip(":"))
    counts = []
    rows = [
        answer.ask(
            conn,
            server.datastack,
            version,
            Query(
                "synapses",
                filters=(
                    Filter("synapses", "pre_pt_root_id", Op.NOT_IN, [0]),
                    Filter("synapses", "post_pt_root_id", Op.NOT_IN, [0]),
                ),
            ),
        ).to_pylist()
        for version in (1, 3)
    ]
    both = {r["id"] for r in rows[0]} & {r["id"] for r in rows[1]}
    for found in rows:
        root = next(r["pre_pt_root_id"] for r in found if r["pre_pt_supervoxel_id"] == neuron)
        assert str(root) in done.stdout
        of_neuron = [r for r in found if r["pre_pt_root_id"] == root and r["id"] in both]
        counts.append(sum(r["post_pt_root_id"] != root for r in of_neuron))
    conn.rollback()
    assert f"{{'before': {counts[0]}, 'after': {counts[1]}}}" in done.stdout
    assert picture.read_text().startswith("<?xml")


def test_any_moment(snemi: Snemi) -> None:
    """Last, because the client edits."""
    ask_at_any_moment(
        snemi.client, snemi.served, snemi.truth, random.Random("snemi3d"), versions=VERSIONS
    )
