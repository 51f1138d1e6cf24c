"""The oracle sees what it is there to see: small bugs put into a copy of the source are found."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boundaries
import pytest

import matengine
from matengine.storage.connections import Connection

PACKAGE = Path(matengine.__file__).parent
SUPPORT = Path(boundaries.__file__).parent


@dataclass(frozen=True)
class Bug:
    """In `file`, the one place that says `right` says `wrong`."""

    file: str
    right: str
    wrong: str


BUGS = {
    "a closed row shows one epoch longer": Bug(
        "engine/versions/layout.py", "{row}.to_epoch > {epoch}", "{row}.to_epoch >= {epoch}"
    ),
    "a new row shows one epoch later": Bug(
        "engine/versions/layout.py", "{row}.from_epoch <= {epoch}", "{row}.from_epoch < {epoch}"
    ),
    "a row created at the very time is left out": Bug(
        "engine/versions/collect.py", "AND l.created <= {time} AND", "AND l.created < {time} AND"
    ),
    "a row deleted at the very time is taken up": Bug(
        "engine/versions/collect.py",
        "l.deleted IS NULL OR l.deleted > {time})\n              AND NOT EXISTS",
        "l.deleted IS NULL OR l.deleted >= {time})\n              AND NOT EXISTS",
    ),
    "a row deleted at the very time stays": Bug(
        "engine/versions/collect.py", "AND l.deleted <= {time}", "AND l.deleted < {time}"
    ),
    "changes due at the very time wait": Bug(
        "engine/versions/epoch.py",
        "AND epoch IS NULL AND due <= %s",
        "AND epoch IS NULL AND due < %s",
    ),
    "changes of the future are forgotten": Bug(
        "engine/versions/publish.py", "AND l.{column} > {time})", "AND l.{column} < {time})"
    ),
    "roots that expired are sought at the first point only": Bug(
        "engine/versions/collect.py",
        "for root in self.table.roots",
        "for root in self.table.roots[:1]",
    ),
    "an edit at the very time is overlooked": Bug(
        "segmentation/chunkedgraph/local/graph.py", "AND expired_ms <= %s)", "AND expired_ms < %s)"
    ),
    "an edit a millisecond later counts already": Bug(
        "engine/versions/resolve.py",
        "datastacks.open_graph(conn, segmentation), run.time)",
        "datastacks.open_graph(conn, segmentation),"
        " datetime.fromtimestamp(run.time.timestamp() + 0.001, run.time.tzinfo))",
    ),
    "a supervoxel has its old root for a moment longer": Bug(
        "segmentation/chunkedgraph/local/graph.py",
        "AND f.from_ms <= %s AND f.to_ms > %s",
        "AND f.from_ms < %s AND f.to_ms >= %s",
    ),
    "a lookup that failed is stored as background": Bug(
        "engine/versions/resolve.py",
        "ids[missing], known[missing] = found.ids, found.known",
        "ids[missing], known[missing] = found.ids, True",
    ),
    "a row with a new root is added twice": Bug(
        "engine/versions/apply.py", "is_new if shown_before else", '"" if shown_before else'
    ),
    "a row with a new root is not closed": Bug(
        "engine/versions/apply.py",
        "SET to_epoch = {epoch} FROM pg_temp.taken",
        "SET to_epoch = {open} FROM pg_temp.taken",
    ),
    "the fingerprint keeps rows that went": Bug(
        "engine/versions/collect.py", "hash_change=-int(hashes)", "hash_change=int(hashes)"
    ),
}


def test_without_a_bug_there_is_no_difference(conn: Connection, tmp_path: Path) -> None:
    boundaries.play(conn, tmp_path)


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
def test_the_bug_is_found(av: Any, tmp_path: Path, bug: Bug) -> None:
    copy = tmp_path / "source" / "matengine"
    shutil.copytree(PACKAGE, copy)
    source = (copy / bug.file).read_text()
    assert source.count(bug.right) == 1, "the source says this no longer: seed the bug elsewhere"
    (copy / bug.file).write_text(source.replace(bug.right, bug.wrong))
    played = subprocess.run(
        [sys.executable, SUPPORT / "boundaries.py", av.url, tmp_path],
        env=os.environ | {"PYTHONPATH": str(copy.parent)},
        capture_output=True,
        text=True,
    )
    assert played.returncode == boundaries.DIFFERENCE, played.stderr
