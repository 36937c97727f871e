-- For `ETag` and `If-Match`: raised whenever an administrator, or the user, changes the row.
ALTER TABLE users ADD COLUMN version bigint NOT NULL DEFAULT 0;

-- Names are in the order of their bytes, whatever the server's locale, as in SQLite.
ALTER TABLE users ALTER COLUMN username TYPE text COLLATE "C";

-- Who did what to whom, and what came of it. Rows are added, and deleted when they are old; they
-- are never changed.
CREATE TABLE audit (
    -- A UUID of version 7: in order of time.
    id          text    COLLATE "C" NOT NULL PRIMARY KEY,
    at          bigint  NOT NULL,
    -- Such as `user.disabled`.
    action      text    NOT NULL,
    -- `success` or `failure`.
    outcome     text    NOT NULL,
    -- NULL: nobody that is known, or the command line.
    actor_id    text,
    actor_name  text,
    target_id   text,
    target_name text,
    request_id  text,
    client      text,
    -- What was changed, for people.
    detail      text
);

CREATE INDEX audit_by_actor ON audit (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_target ON audit (target_id, id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_by_age ON audit (at);

CREATE FUNCTION audit_is_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is never changed';
END;
$$;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_never_changed();
