"""The Celery application: `celery -A matengine.workflows.app worker | beat`."""

from celery import Celery

from matengine import settings

SWEEP_S = 3.0
PACE_S = 15.0
EXPIRE_S = 3600.0

app = Celery("matengine", broker=settings.load().broker_url, include=["matengine.workflows.tasks"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=500,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # a message that a dead worker held comes back after this; the sweeper is faster
    broker_transport_options={
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
    },
    task_default_queue="orchestration",
    beat_schedule={
        "sweep": {
            "task": "matengine.sweep",
            "schedule": SWEEP_S,
            # sweeps that pile up while no worker is there are of no use
            "options": {"expires": SWEEP_S},
        },
        "pace": {
            "task": "matengine.pace",
            "schedule": PACE_S,
            "options": {"expires": PACE_S},
        },
        "expire": {
            "task": "matengine.expire",
            "schedule": EXPIRE_S,
            "options": {"expires": EXPIRE_S, "queue": "bulk"},
        },
    },
)

QUEUES = ("orchestration", "lookup", "bulk", "export")
