-- People. Times are milliseconds since 1970-01-01T00:00:00Z.
CREATE TABLE users (
    id              text    NOT NULL PRIMARY KEY,
    username        text    NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 50),
    email           text    UNIQUE CHECK (length(email) BETWEEN 3 AND 255),
    -- NULL: signs in with a provider only.
    hashed_password text,
    full_name       text,
    tier            text    NOT NULL DEFAULT 'free',
    role            text    NOT NULL DEFAULT 'user',
    -- Scopes beyond those of the role, separated by single spaces.
    scopes          text    NOT NULL DEFAULT '',
    is_active       boolean NOT NULL DEFAULT true,
    is_verified     boolean NOT NULL DEFAULT false,
    -- Raised to refuse every token issued before.
    epoch           bigint  NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    last_login      bigint,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL
);
