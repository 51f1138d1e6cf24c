"""The application as it is far away: each request takes 20 ms more, and is written down.

`gunicorn far_app:create_app()`, with this folder on PYTHONPATH; FAR_LOG names the file.
"""

import os
import time
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from matengine.api import app

LATENCY_S = 0.02


def create_app() -> Any:
    near = app.create_app()

    def far(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        time.sleep(LATENCY_S)
        with open(os.environ["FAR_LOG"], "a") as log:
            log.write(f"{environ['PATH_INFO'].rpartition('/')[2]}\n")
        return near(environ, start_response)

    return far
