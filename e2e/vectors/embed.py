"""Has `doorward worker` make vectors of the texts that come as JSON on standard input; prints them."""

import json
import os
import sys

from celery import Celery

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
print(json.dumps(app.send_task("doorward.embed", [json.load(sys.stdin)]).get(timeout=60)))
