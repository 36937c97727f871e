-- People. Times are milliseconds since 1970-01-01T00:00:00Z.
CREATE TABLE users (
    id              TEXT    NOT NULL PRIMARY KEY,
    username        TEXT    NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 50),
    email           TEXT    UNIQUE CHECK (length(email) BETWEEN 3 AND 255),
    -- NULL: signs in with a provider only.
    hashed_password TEXT,
    full_name       TEXT,
    tier            TEXT    NOT NULL DEFAULT 'free',
    role            TEXT    NOT NULL DEFAULT 'user',
    -- Scopes beyond those of the role, separated by single spaces.
    scopes          TEXT    NOT NULL DEFAULT '',
    is_active       INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    is_verified     INTEGER NOT NULL DEFAULT 0 CHECK (is_verified IN (0, 1)),
    -- Raised to refuse every token issued before.
    epoch           INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    last_login      INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
