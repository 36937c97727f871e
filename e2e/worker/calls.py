"""What an application does with the tasks of `doorward worker`; says as JSON what came of it."""

import json
import os

from celery import Celery

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])


def failure(task, *arguments, **options):
    try:
        app.signature(task, arguments).apply_async(**options).get(timeout=20)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


embed = "doorward.embed"
print(json.dumps({
    "noop": app.send_task("doorward.noop").get(timeout=20),
    "one": app.send_task(embed, ["nine lanterns"]).get(timeout=20),
    "many": app.send_task(embed, kwargs={"texts": ["nine lanterns", "the quay"]}).get(timeout=20),
    "urgent": app.send_task("doorward.noop", priority=9, countdown=0.2).get(timeout=20),
    "unknown": failure("nobody.knows"),
    "number": failure(embed, 7),
    "expired": failure("doorward.noop", countdown=0.5, expires=0.1),
    # Far more than anybody does in a millisecond.
    "late": failure(embed, ["quay " * 1000] * 512, soft_time_limit=0.001),
    "workers": app.control.inspect(timeout=2).ping(),
}))
