"""The launcher `./mat`, in a copy of its own that is already set up: no test here installs."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what the launcher itself calls, beside what it looks for
TOOLS = ["cat", "cut", "dirname", "grep", "id", "ls", "mkdir", "sh", "sha256sum", "tr"]
STAMPED = ["mat", "pyproject.toml"]
STAMPED += ["requirements.lock", "requirements-dev.lock", "requirements-uv.lock"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a folder with blanks, with a program that shows its arguments."""
    clone = tmp_path / "a clone"
    (clone / ".venv/bin").mkdir(parents=True)
    for file in STAMPED:
        shutil.copy(ROOT / file, clone)
    for name in ("matengine", "python"):
        program = clone / ".venv/bin" / name
        program.write_text(f'#!/bin/sh\nprintf "[%s]" {name} "$@"\necho " in $PWD"\n')
        program.chmod(0o755)
    stamp(clone, "runtime")
    return clone


def stamp(clone: Path, kind: str) -> None:
    """Say that the environment of this kind is installed."""
    whole = b"".join((clone / name).read_bytes() for name in STAMPED)
    line = f"{kind} {hashlib.sha256(whole).hexdigest()} {clone}\n"
    (clone / ".venv/.stamp").write_text(line)


def mat(clone: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "mat", *arguments],
        cwd=clone.parent,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


def test_help_needs_nothing(clone: Path) -> None:
    shutil.rmtree(clone / ".venv")
    for arguments in ([], ["help"]):
        done = mat(clone, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "./mat demo" in done.stdout
        assert len(done.stdout.splitlines()) <= 24
    assert not (clone / ".venv").exists()


def test_commands_reach_the_program_word_by_word_and_from_where_one_is(clone: Path) -> None:
    done = mat(clone, "import", "my data", "--data", "*", "")
    assert done.stderr == ""
    assert done.stdout == f"[matengine][import][my data][--data][*][] in {clone.parent}\n"


def test_tests_run_in_the_clone_with_the_arguments_given(clone: Path) -> None:
    stamp(clone, "dev")
    done = mat(clone, "test", "-k", "a b")
    assert done.stderr == ""
    assert done.stdout == f"[python][-m][pytest][-n][2][--dist][loadfile][-k][a b] in {clone}\n"


def test_an_environment_for_tests_also_serves_the_program(clone: Path) -> None:
    stamp(clone, "dev")
    done = mat(clone, "demo")
    assert done.stderr == ""
    assert done.stdout.startswith("[matengine][demo]")


def test_the_program_s_exit_code_is_ours(clone: Path) -> None:
    (clone / ".venv/bin/matengine").write_text("#!/bin/sh\nexit 7\n")
    assert mat(clone, "up").returncode == 7


def test_who_is_not_root_is_told_the_one_line(clone: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (programs / name).symlink_to(found)
    (programs / "apt-get").write_text("#!/bin/sh\necho apt-get must not be called >&2\n")
    (programs / "id").unlink()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    for name in ("apt-get", "id"):
        (programs / name).chmod(0o755)
    done = mat(clone, "demo", PATH=str(programs))
    assert done.returncode == 1
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert "redis-server" in said[0]
    assert "python3-venv" in said[0]
    assert said[1] == f"mat: please run: sudo '{clone}/mat' install"
    assert len(said) == 2
