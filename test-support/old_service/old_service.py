"""Plays the service that Doorward replaces, as far as the two share tokens and a Redis.

Argument: the URL of Redis. Environment: JWT_SECRET_KEY. Each line of standard input is a JSON array,
a question and its arguments; each is answered by one line, {"answer": ...} or {"error": ...}.
"""

import json
import os
import sys
from datetime import datetime, timedelta, timezone

import redis
from jose import JWTError, jwt
from redis.backoff import NoBackoff
from redis.retry import Retry

ALGORITHM = "HS256"
REVOKED_FOR_S = 86400
# How long Redis may take, in seconds.
PATIENCE_S = 2

secret = os.environ["JWT_SECRET_KEY"]
cache = redis.Redis.from_url(
    sys.argv[1],
    decode_responses=True,
    socket_connect_timeout=PATIENCE_S,
    socket_timeout=PATIENCE_S,
    retry=Retry(NoBackoff(), 0),
)


def key_of(token):
    return f"revoked_token:{token}"


def revoke(token):
    cache.setex(key_of(token), REVOKED_FOR_S, json.dumps("revoked"))


def is_revoked(token):
    stored = cache.get(key_of(token))
    if stored is None:
        return False
    try:
        return json.loads(stored) == "revoked"
    except json.JSONDecodeError:
        # What is not JSON counts as nothing.
        return False


def issue(claims, lifetime_s):
    expires = datetime.now(timezone.utc) + timedelta(seconds=lifetime_s)
    return jwt.encode({**claims, "exp": expires}, secret, algorithm=ALGORITHM)


def verify(token):
    try:
        return {"claims": jwt.decode(token, secret, algorithms=[ALGORITHM])}
    except JWTError as error:
        return {"refused": f"{type(error).__name__}: {error}"}


questions = {function.__name__: function for function in (revoke, is_revoked, issue, verify)}

for line in sys.stdin:
    question, *arguments = json.loads(line)
    try:
        answer = {"answer": questions[question](*arguments)}
    except redis.RedisError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
