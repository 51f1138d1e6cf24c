"""The tests see what they are there to see: small bugs put into a copy of the engine are found."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boundaries
import mutants
import pytest

import matengine
from matengine.storage.connections import Connection

PACKAGE = Path(matengine.__file__).parent


@dataclass(frozen=True)
class Bug:
    """In `file`, the one place that says `right` says `wrong`.

    Found by the steps `among` of the machine, or else by the past with something at every edge.
    """

    file: str
    right: str
    wrong: str
    among: tuple[str, ...] = ()


MAKING = ("insert_many", "delete", "merge", "rough_epoch")

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
        "shown=shown,\n            )\n            for root in self.table.roots",
        "shown=shown,\n            )\n            for root in self.table.roots[:1]",
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
        "segmentation/chunkedgraph/local/roots.py",
        "AND f.from_ms <= %s AND f.to_ms > %s",
        "AND f.from_ms < %s AND f.to_ms >= %s",
    ),
    "a lookup that failed is stored as background": Bug(
        "engine/versions/resolve.py",
        "rows.known[number][missing] = known",
        "rows.known[number][missing] = True",
    ),
    "a row with a new root is added twice": Bug(
        "engine/versions/apply.py", "WHERE NOT s.shown AND s.resolved", "WHERE s.resolved"
    ),
    "a row with a new root is not closed": Bug(
        "engine/versions/apply.py",
        "SET to_epoch = {epoch} FROM {staged}",
        "SET to_epoch = {open} FROM {staged}",
    ),
    "the fingerprint keeps rows that went": Bug(
        "engine/versions/collect.py", "hash_change=-int(hashes)", "hash_change=int(hashes)"
    ),
    "an epoch does not wait for those who write": Bug(
        "engine/versions/epoch.py",
        'return not set(run.parameters["writers"]) & set(writers.listed(conn))',
        "return True",
        among=("insert", "write_late", "epoch"),
    ),
    "a run that was cancelled leaves rows closed": Bug(
        "engine/versions/undo.py",
        "WHERE h.id = written.id AND h.to_epoch = {epoch}",
        "WHERE h.id = written.id AND h.to_epoch < {epoch}",
        among=MAKING,
    ),
    "a run that was cancelled takes its changes along": Bug(
        "engine/versions/undo.py",
        "UPDATE matengine.change SET epoch = NULL WHERE",
        "DELETE FROM matengine.change WHERE",
        among=MAKING,
    ),
    "a unit is done again by a worker thought dead": Bug(
        "engine/runs/units.py",
        """        " FOR UPDATE",
        (unit.unit_id, unit.worker),
    ).fetchone()
    if found is None:""",
        """        " FOR UPDATE",
        (unit.unit_id, unit.worker),
    ).fetchone()
    if False:""",
        among=MAKING,
    ),
    "a unit is done again when its message comes twice": Bug(
        "engine/runs/units.py",
        "r.status = 'running' AND f.state IN ('ready', 'working')\n                AND",
        "r.status = 'running' AND f.state IN ('ready', 'working', 'done')\n                AND",
        among=MAKING,
    ),
    "a row that was deleted leaves no tombstone": Bug(
        "engine/versions/collect.py",
        "FROM closed ORDER BY {order}, id)",
        "FROM closed WHERE false ORDER BY {order}, id)",
        among=(*MAKING, "epoch", "compare"),
    ),
    "a lookup that failed is never tried again": Bug(
        "engine/versions/collect.py",
        "AND f.table_name = {name} AND NOT f.permanent\n              AND h.to_epoch",
        "AND f.table_name = {name} AND f.permanent\n              AND h.to_epoch",
        among=("insert_many", "fail", "heal", "epoch"),
    ),
    "an epoch is collected that a version names": Bug(
        "engine/versions/garbage.py",
        "bool_or(v.status IN ('AVAILABLE', 'RUNNING') OR",
        "bool_or(v.status = 'RUNNING' OR",
        among=("insert", "epoch", "drop", "collect"),
    ),
    "compacting loses rows of old": Bug(
        "engine/versions/compact.py",
        'sql.SQL("SELECT {} FROM {}").format(columns, table.history)',
        'sql.SQL("SELECT {} FROM {} WHERE to_epoch = 2147483647").format(columns, table.history)',
        among=("insert_many", "delete", "epoch", "compact"),
    ),
    "rebasing closes no row": Bug(
        "engine/versions/rebase.py",
        "CASE WHEN t.id IS NULL THEN h.to_epoch ELSE {epoch} END",
        "CASE WHEN t.id IS NULL THEN h.to_epoch ELSE {open} END",
        among=("insert_many", "merge", "split", "rebase"),
    ),
    "a version is frozen of an old epoch": Bug(
        "engine/versions/freeze.py",
        '"SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL"',
        '"SELECT min(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL"',
        among=("insert", "epoch", "freeze"),
    ),
    "a pinned version is dropped": Bug(
        "engine/versions/dropping.py",
        "if version.pinned:",
        "if False:",
        among=("insert", "epoch", "label", "drop"),
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
    playing = mutants.process(copy.parent, av.url, tmp_path / "volume", bug.among)
    playing.start()
    try:
        playing.join()
    finally:
        playing.kill()
    assert playing.exitcode == mutants.DIFFERENCE
