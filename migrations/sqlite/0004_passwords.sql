-- Secrets of this deployment that are for one purpose each, made where there is none.
CREATE TABLE secrets (
    purpose    TEXT    NOT NULL PRIMARY KEY,
    secret     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- How often an administrator unlocked somebody; each time their failed sign-ins count from zero.
CREATE TABLE unlocks (
    user_id TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    times   INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;

-- Tokens that were mailed to set a new password with, each good for one use.
CREATE TABLE password_resets (
    -- The SHA-256 of the token, in hexadecimal.
    token_hash TEXT    NOT NULL PRIMARY KEY,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The address it was mailed to: good for nothing once that is not the user's any more.
    email      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX password_resets_of_user ON password_resets (user_id);
CREATE INDEX password_resets_by_age ON password_resets (expires_at);

-- Hashes that are not as they are made now: which kinds there are is asked at every start, and every
-- hour. It empties as their owners sign in.
CREATE INDEX users_with_other_hashes ON users (hashed_password)
    WHERE substr(hashed_password, 1, 31) <> '$argon2id$v=19$m=19456,t=2,p=1$';
