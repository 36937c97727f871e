"""Has a worker do tasks: prints how many it did a second, and in a second of its processor's time. They do nothing;
those of `embed` ask for the vector of a short text, from a model of WORDS words.

measure.py prefork|doorward|embed BROKER TASKS DOORWARD [WORDS BEFORE A WORKER'S COMMAND LINE…]
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
from application import app

kind, broker, count, doorward, *pinned = sys.argv[1:]
count = int(count)
WARM = 500
PATIENCE_S = 300
WORDS = 32_000
DIMENSIONS = 256

client = redis.Redis.from_url(broker)


def processor_s(pid):
    """User and system time of a process and of its children, those that have ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(processor_s(child) for child in children)


def send(tasks):
    name, words = ("doorward.embed", ["word1 word2 word3"]) if kind == "embed" else ("doorward.noop", [])
    with app.producer_pool.acquire() as producer:
        for _ in range(tasks):
            app.send_task(name, words, producer=producer)


def write_model(directory):
    """A model as model2vec lays it out: each word has a vector."""
    directory.mkdir()
    vocabulary = {"[UNK]": 0} | {f"word{number}": number for number in range(1, WORDS)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    tokenizer = {"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    (directory / "config.json").write_text('{"normalize": true}')
    vectors = struct.pack(f"<{DIMENSIONS}f", *(1 / number for number in range(1, DIMENSIONS + 1))) * WORDS
    tensor = {"dtype": "F32", "shape": [WORDS, DIMENSIONS], "data_offsets": [0, len(vectors)]}
    head = json.dumps({"embeddings": tensor}).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + vectors)


def wait_until_done():
    until = time.monotonic() + PATIENCE_S
    while client.llen("celery") or client.hlen("unacked"):
        if time.monotonic() > until:
            sys.exit("the tasks come to no end")
        time.sleep(0.002)


def begin(directory):
    if kind in ("doorward", "embed"):
        config = Path(directory) / "doorward.toml"
        text = f'[celery]\nbroker_url = "{broker}"\n[worker]\nconcurrency = 1\nprefetch = 64\n'
        if kind == "embed":
            model = Path(directory) / "model"
            write_model(model)
            text += f'model = "{model}"\n'
        config.write_text(text)
        command = [doorward, "--config", str(config), "worker"]
    else:
        command = [sys.executable, "-m", "celery", "-A", "application", "worker", "--pool", "prefork"]
        command += ["--concurrency", "1", "--prefetch-multiplier", "64", "--loglevel", "ERROR"]
        command += ["--without-gossip", "--without-mingle"]
    environment = {"PATH": os.environ["PATH"], "HOME": directory, "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PYTHONPATH": str(Path(__file__).parent), "BROKER": broker}
    return subprocess.Popen(
        [*pinned, "setpriv", "--pdeathsig", "KILL", "--", *command], env=environment,
        stdin=subprocess.DEVNULL, stdout=sys.stderr, cwd=directory,
    )


with tempfile.TemporaryDirectory() as directory:
    client.flushdb()
    worker = begin(directory)
    send(WARM)
    wait_until_done()
    # All of them wait before the first is taken: the client is not what is measured.
    os.kill(worker.pid, 19)
    send(count)
    before_s, begun = processor_s(worker.pid), time.monotonic()
    os.kill(worker.pid, 18)
    wait_until_done()
    took_s, used_s = time.monotonic() - begun, processor_s(worker.pid) - before_s
    worker.terminate()
    worker.wait()
print(round(count / took_s), round(count / used_s))
