-- For `ETag` and `If-Match`: raised whenever an administrator, or the user, changes the row.
ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

-- Who did what to whom, and what came of it. Rows are added, and deleted when they are old; they
-- are never changed.
CREATE TABLE audit (
    -- A UUID of version 7: in order of time.
    id          TEXT    NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    -- Such as `user.disabled`.
    action      TEXT    NOT NULL,
    -- `success` or `failure`.
    outcome     TEXT    NOT NULL,
    -- NULL: nobody that is known, or the command line.
    actor_id    TEXT,
    actor_name  TEXT,
    target_id   TEXT,
    target_name TEXT,
    request_id  TEXT,
    client      TEXT,
    -- What was changed, for people.
    detail      TEXT
) STRICT;

CREATE INDEX audit_by_actor ON audit (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_target ON audit (target_id, id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_by_age ON audit (at);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;
