-- One row for each sign-in, changed in place by every refresh.
CREATE TABLE sessions (
    id             TEXT    NOT NULL PRIMARY KEY,
    user_id        TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Raised by one at each refresh; a refresh token names the generation it is good for.
    generation     INTEGER NOT NULL DEFAULT 0,
    rotated_at     INTEGER NOT NULL,
    -- The refresh token of this generation holds until then.
    expires_at     INTEGER NOT NULL,
    -- No refresh goes beyond this.
    absolute_until INTEGER NOT NULL,
    -- The latest expiry of any access token issued to this session.
    access_until   INTEGER NOT NULL,
    -- The user's epoch when this generation began.
    epoch          INTEGER NOT NULL,
    -- The key that signs the refresh token of this generation.
    kid            TEXT    NOT NULL,
    -- The scopes asked for at sign-in, separated by spaces; NULL: all that are allowed.
    asked_scopes   TEXT,
    created_at     INTEGER NOT NULL,
    ended_at       INTEGER,
    ended_by       TEXT
) STRICT;

CREATE INDEX sessions_of_user ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_age ON sessions (absolute_until);

-- Secrets that sign refresh tokens and nothing else; the newest signs, all verify.
CREATE TABLE refresh_keys (
    kid        TEXT    NOT NULL PRIMARY KEY,
    secret     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
