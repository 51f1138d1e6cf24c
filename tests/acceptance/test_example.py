"""The example draws what the engine says, asked as people ask it."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from served import served_dataset
from truth import Truth

from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Op, Query

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "connectivity.py"
VERSIONS = (datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


def test_connectivity(server_url: str, datasets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "snemi3d"
    shutil.copytree(datasets / "snemi3d", folder)
    # the picture of docs/examples.md is made by naming it here
    picture = Path(os.environ.get("CONNECTIVITY_OUT", tmp_path / "partners.svg"))
    with served_dataset(folder, server_url) as server, server.connect() as conn:
        Truth(server.dataset, conn, server.datastack, server.segmentation).freeze(VERSIONS)
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
            for version in (1, 2)
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
