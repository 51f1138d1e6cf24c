"""The documentation names tests that exist, and links that lead somewhere."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEST = re.compile(r"\b(\w+/test_\w+\.py)((?:::\w+)+)")
LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")


@cache
def named_tests(file: Path) -> frozenset[str]:
    """The tests of a file as pytest names them: `::test_name` or `::TestClass::test_name`."""
    return frozenset(_names(ast.parse(file.read_text()).body, ""))


def _names(body: list[ast.stmt], before: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _names(node.body, f"{before}::{node.name}")
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield f"{before}::{node.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    missing = [
        file + name
        for file, name in TEST.findall(page.read_text())
        if not (ROOT / "tests" / file).is_file() or name not in named_tests(ROOT / "tests" / file)
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [
        link for link, _ in LINK.findall(page.read_text()) if not (page.parent / link).exists()
    ]
    assert not missing


def test_reliability_has_a_test_or_a_reason_in_every_row() -> None:
    """Each row of its tables ends with tests, or says that there is none."""
    rows = [
        line.strip("| ").split(" | ")
        for line in (ROOT / "docs" / "reliability.md").read_text().splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    rows = [row for row in rows if len(row) == 3 and row[2] != "shown by"]
    assert len(rows) > 60
    assert not [row[0] for row in rows if not TEST.search(row[2]) and "not covered" not in row[2]]
