-- One row for each sign-in, changed in place by every refresh.
CREATE TABLE sessions (
    id             text    NOT NULL PRIMARY KEY,
    user_id        text    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Raised by one at each refresh; a refresh token names the generation it is good for.
    generation     bigint  NOT NULL DEFAULT 0,
    rotated_at     bigint  NOT NULL,
    -- The refresh token of this generation holds until then.
    expires_at     bigint  NOT NULL,
    -- No refresh goes beyond this.
    absolute_until bigint  NOT NULL,
    -- The latest expiry of any access token issued to this session.
    access_until   bigint  NOT NULL,
    -- The user's epoch when this generation began.
    epoch          bigint  NOT NULL,
    -- The key that signs the refresh token of this generation.
    kid            text    NOT NULL,
    -- The scopes asked for at sign-in, separated by spaces; NULL: all that are allowed.
    asked_scopes   text,
    created_at     bigint  NOT NULL,
    ended_at       bigint,
    ended_by       text
);

CREATE INDEX sessions_of_user ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_age ON sessions (absolute_until);

-- Secrets that sign refresh tokens and nothing else; the newest signs, all verify.
CREATE TABLE refresh_keys (
    kid        text    NOT NULL PRIMARY KEY,
    secret     text    NOT NULL,
    created_at bigint  NOT NULL
);
