"""Real datasets, built from the packaged data where it lies beside the checkout."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = CHECKOUT.parent / "shared"
BUILDER = SHARED / "datasets" / "build.py"

# without the packaged data there is nothing to build, so nothing to collect
_REAL = ("real_graphs", "snemi3d", "live_real")
collect_ignore = [] if BUILDER.is_file() else [f"test_{name}.py" for name in _REAL]


def _recipe() -> str:
    """A name for what would be built: the same scripts and data, the same name."""
    recipe = hashlib.sha256((SHARED / "data" / "MANIFEST.json").read_bytes())
    for script in sorted(BUILDER.parent.glob("*.py")):
        recipe.update(script.read_bytes())
    return recipe.hexdigest()[:16]


@pytest.fixture(scope="session")
def datasets() -> Path:
    """A folder with the dataset folders snemi3d, pinky40, mec_graph and fanc_log.

    Built once for all test processes, and kept for later sessions.
    """
    cache = CHECKOUT / ".cache" / "datasets"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _recipe()
    done = folder / "complete"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            subprocess.run([sys.executable, str(BUILDER), str(folder)], check=True, cwd=cache)
            done.touch()
    return folder
