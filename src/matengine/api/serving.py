"""How gunicorn serves the application: `gunicorn --config python:matengine.api.serving`.

Its settings, each of which an option on the command line overrides.
"""

import gc
import os
from contextlib import suppress

import pyarrow as pa

from matengine import settings

if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
    # the allocator that Arrow takes by itself keeps a heap for each thread: 80 MiB a process;
    # not every build of it has the other
    with suppress(NotImplementedError):
        pa.set_memory_pool(pa.jemalloc_memory_pool())

wsgi_app = "matengine.api.app:create_app()"
worker_class = "matengine.api.web_worker.WebWorker"
workers = settings.server_processes()
# of each process: whoever downloads slowly holds a thread, and never the whole server
threads = 32
graceful_timeout = 5
# the application is loaded once, and its memory shared; nothing connects before the first request
preload_app = True


def when_ready(server: object) -> None:
    """Before processes begin: what is there now stays shared, for no collection touches it."""
    gc.collect()
    gc.freeze()
