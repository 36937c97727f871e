"""An application with a task that does nothing."""

import os

from celery import Celery

app = Celery("application", broker=os.environ["BROKER"], backend=os.environ["BROKER"])


@app.task(name="doorward.noop")
def noop():
    return None
