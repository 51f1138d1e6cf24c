"""The Celery application with short waits and small units, for tests that kill its workers.

`celery -A brisk_app worker | beat`, with this folder on PYTHONPATH.
"""

import os

from matengine.engine.annotations import bulk
from matengine.engine.runs import units
from matengine.engine.versions import apply, collect, first
from matengine.workflows.app import app

units.LEASE_S, units.BEAT_S, units.RESEND_S = 2, 0.5, 1
# as many as are done before one is sent again
units.WINDOW = 10
BLOCK = int(os.environ.get("BRISK_BLOCK", "40"))
collect.BLOCK, collect.LONG = BLOCK, BLOCK
apply.BLOCK = first.BLOCK = BLOCK * 3 // 2
bulk.BATCH_ROWS = 200
for often in ("sweep", "pace"):
    app.conf.beat_schedule[often] |= {"schedule": 0.5, "options": {"expires": 1}}
# epochs that nobody asked for only where a test settles it
os.environ.setdefault("MATENGINE_PACE", "off")

__all__ = ["app"]
