"""An application with tasks, for workers of Celery itself."""

import os
import time

from celery import Celery

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.broker_transport_options = {
    "global_keyprefix": os.environ["KEYPREFIX"],
    "fanout_prefix": os.environ["FANOUT_PREFIX"] == "on",
}
app.conf.worker_enable_remote_control = os.environ["REMOTE_CONTROL"] == "on"
app.conf.broker_connection_retry_on_startup = True


@app.task(name="app.add")
def add(one, other):
    return one + other


@app.task(name="app.busy")
def busy(seconds):
    """Holds the process that runs it."""
    time.sleep(seconds)
