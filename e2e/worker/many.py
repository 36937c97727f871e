"""Calls very many tasks and waits for each; says as JSON how many came to which end."""

import collections
import json
import os
import sys

from celery import Celery

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
count, texts = int(sys.argv[1]), ["nine lanterns on the quay " * 20] * 64

calls = []
for number in range(count):
    if number % 100 == 0:
        call = app.send_task("doorward.embed", [texts], priority=number % 10)
    else:
        call = app.send_task("doorward.noop", [number], priority=number % 10)
    calls.append(call)
print("sent", flush=True)

ends = collections.Counter()
for call in calls:
    call.get(timeout=200, propagate=False)
    ends[call.status] += 1
print(json.dumps(ends))
