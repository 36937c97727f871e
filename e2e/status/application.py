"""A FastAPI application that reports to Doorward how far it is, and whoever wants to know that.

Arguments: Doorward's URL, its Redis, the application's name there, a person, the password of both. Prints
what was seen as JSON.
"""

import json
import sys
from enum import Enum
from typing import Dict

import httpx
import redis
from fastapi import FastAPI, Header
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

DOORWARD, REDIS, SERVICE, PERSON, PASSWORD = sys.argv[1:]


# The model that the application has always had.
class ProcessingStage(str, Enum):
    INGESTION = "ingestion"
    QUALITY = "quality"
    TAXONOMY = "taxonomy"
    GRAPH = "graph"
    EMBEDDING = "embedding"


class StageStatus(str, Enum):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class ResourceProgress(BaseModel):
    resource_id: int
    overall_status: StageStatus
    stages: Dict[ProcessingStage, StageStatus] = Field(default_factory=dict)
    error_message: str | None = None
    updated_at: str


# What reports in its place.
class Progress:
    """Reports to Doorward how far a resource is."""

    def __init__(self, doorward: str, username: str, password: str):
        self.client = httpx.Client(base_url=doorward, timeout=5)
        self.credentials = {"username": username, "password": password}
        self.sign_in()

    def sign_in(self):
        answer = self.client.post("/auth/login", data=self.credentials)
        token = answer.raise_for_status().json()["access_token"]
        self.client.headers["Authorization"] = f"Bearer {token}"

    def set(self, resource_id, stage, status, **said):
        """`said` is any of owner, attempt, completed, total, message, error_message."""
        path = f"/status/resources/{resource_id}/stages/{stage}"
        report = {"status": status, **said}
        answer = self.client.put(path, json=report)
        if answer.status_code == 401:  # the token has expired
            self.sign_in()
            answer = self.client.put(path, json=report)
        return answer.raise_for_status().json()


progress = Progress(DOORWARD, SERVICE, PASSWORD)
app = FastAPI()


@app.post("/resources/{resource_id}/process")
def process(resource_id: int, x_user_id: str = Header()):
    # Doorward says who asks: what is begun for somebody is theirs.
    for stage in ProcessingStage:
        progress.set(resource_id, stage.value, "processing", owner=x_user_id, attempt=1)
        try:
            work(resource_id, stage)
        except Exception as error:
            progress.set(resource_id, stage.value, "failed", attempt=1, error_message=str(error))
            raise
        progress.set(resource_id, stage.value, "completed", attempt=1)
    return {"resource_id": resource_id}


def work(resource_id, stage):
    if resource_id == 13 and stage is ProcessingStage.GRAPH:
        raise ValueError("no nodes")


def events(client, resource_id, last_event_id=None):
    """The events of a resource: pairs of an id and what is known."""
    known = {}
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    path = f"/status/resources/{resource_id}/events"
    with client.stream("GET", path, headers=headers, timeout=30) as answer:
        answer.raise_for_status()
        kind = None
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                told = json.loads(line[6:])
                if kind == "record":
                    known = told
                else:  # one stage has changed
                    for part in ("stages", "details"):
                        told[part] = {**known.get(part, {}), **told[part]}
                    known = {**known, **told}
                yield known["version"], known


# Whoever wants to know: the person for whom it is done.
person = httpx.Client(base_url=DOORWARD, timeout=5)
signed_in = person.post("/auth/login", data={"username": PERSON, "password": PASSWORD}).json()
person.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
person_id = person.get("/auth/me").json()["id"]

application = TestClient(app, raise_server_exceptions=False)
application.post("/resources/42/process", headers={"X-User-Id": person_id}).raise_for_status()
again = [StageStatus.PENDING, StageStatus.PROCESSING, StageStatus.COMPLETED]
told = [progress.set(42, "embedding", status, attempt=2) for status in again]
application.post("/resources/13/process", headers={"X-User-Id": person_id})

shown = person.get("/status/resources/42").json()
mine = person.get("/status/resources", params={"limit": 10}).json()

version, first = next(events(person, 42))
missed = events(person, 42, last_event_id=told[0]["version"])
replayed = [next(missed)[0] for _ in told[1:]]

# The application's own reader, as it always was.
cache = redis.Redis.from_url(REDIS, decode_responses=True)
read = ResourceProgress(**json.loads(cache.get("progress:resource:13")))

print(
    json.dumps(
        {
            "person_id": person_id,
            "shown": shown,
            "mine": mine,
            "first": first,
            "version": version,
            "told": told,
            "replayed": replayed,
            "read": read.model_dump(mode="json"),
            "ttl": cache.ttl("progress:resource:13"),
        }
    )
)
