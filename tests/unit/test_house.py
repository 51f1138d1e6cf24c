"""The house: imports point downwards, no circles in the engine, files of a readable size."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = "matengine"
LONGEST = 500

# from the top of the house to its bottom; a part may import parts of lower floors only
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"cli", "demo", "__main__"}),
    frozenset({"api", "web", "workflows", "box", "datasets", "testing", "client"}),
    frozenset({"engine"}),
    frozenset({"segmentation"}),
    frozenset({"storage"}),
    frozenset({"errors", "times", "settings", "progress"}),
)
# within a floor
BESIDE = {
    ("__main__", "cli"),
    ("cli", "demo"),
    ("api", "web"),  # the application of all HTTP services registers the pages
    ("api", "workflows"),  # the server tells the workers that there is a run
    ("times", "errors"),
    ("settings", "errors"),
}
# within the engine, against the order of its packages
BACK_EDGES = {
    ("runs", "workflows"),  # a run finds its phases in the registry of workflows
    ("lookup", "versions"),  # ingest stages its rows as an epoch does
}
FLOOR_OF = {part: number for number, floor in enumerate(FLOORS) for part in floor}


def modules() -> dict[str, Path]:
    """All modules of the package by dotted name."""
    found = {}
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(path: Path, name: str) -> frozenset[str]:
    """The modules of ours that a module imports, also inside functions and for types alone."""
    known = modules()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.rsplit(".", node.level - 1)[0]
                base = f"{up}.{base}".rstrip(".")
            found |= {
                whole if (whole := f"{base}.{alias.name}") in known else base
                for alias in node.names
            }
    return frozenset(m for m in found if m.split(".")[0] == PACKAGE)


def part_of(module: str) -> str:
    """The part of the house that a module belongs to; the package itself is none."""
    return module.split(".")[1] if "." in module else ""


def edges() -> Iterator[tuple[str, str]]:
    """(importer, imported) of all our modules."""
    for name, path in modules().items():
        yield from ((name, other) for other in sorted(imports(path, name)))


def test_every_part_has_its_floor() -> None:
    parts = {part_of(name) for name in modules()} - {""}
    assert parts <= FLOOR_OF.keys()
    assert len(list(edges())) > 300  # the parser sees them


def test_imports_point_downwards() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges()
        if (above := part_of(importer)) != (below := part_of(imported))
        and above
        and below
        and FLOOR_OF[above] >= FLOOR_OF[below]
        and (above, below) not in BESIDE
    ]
    assert wrong == []


def test_the_engine_knows_no_http_and_no_celery() -> None:
    outside = re.compile(r"^\s*(?:from|import) (flask|celery|gunicorn|typer|rich)\b", re.M)
    lower = [p for n, p in modules().items() if FLOOR_OF.get(part_of(n), 0) >= FLOOR_OF["engine"]]
    assert len(lower) > 50
    assert [str(path) for path in lower if outside.search(path.read_text())] == []


def check_no_circle(pairs: Iterable[tuple[str, str]]) -> None:
    graph = defaultdict(set)
    for importer, imported in pairs:
        graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


def test_no_circles_among_modules() -> None:
    check_no_circle((a, b) for a, b in edges() if a != b)


def test_no_circles_among_the_packages_of_the_engine() -> None:
    inside = [(a.split("."), b.split(".")) for a, b in edges()]
    pairs = {
        (a[2], b[2])
        for a, b in inside
        if part_of(".".join(a)) == part_of(".".join(b)) == "engine" and len(a) > 2 and len(b) > 2
    }
    between = {(a, b) for a, b in pairs if a != b}
    assert between >= BACK_EDGES  # none is excused that is not there
    check_no_circle(between - BACK_EDGES)


def sources() -> list[Path]:
    return [p for folder in ("src", "tests", "bench") for p in (ROOT / folder).rglob("*.py")]


def test_files_can_be_read_in_one_go() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in sources()}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    assert [str(p.relative_to(ROOT)) for p in sources() if later.search(p.read_text())] == []
