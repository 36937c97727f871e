-- Accounts at providers by which people sign in. Subjects are told apart by their issuer; the name of
-- the provider in the configuration is only what people read.
CREATE TABLE oauth_accounts (
    id           text    NOT NULL PRIMARY KEY,
    user_id      text    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider     text    NOT NULL,
    issuer       text    NOT NULL,
    subject      text    NOT NULL,
    -- The verified address there when it was last used, for its owner to tell accounts apart.
    email        text,
    linked_at    bigint  NOT NULL,
    last_used_at bigint  NOT NULL,
    UNIQUE (issuer, subject)
);

CREATE INDEX oauth_accounts_of_user ON oauth_accounts (user_id);

-- Browsers that are at a provider now, each good for one return.
CREATE TABLE oauth_flows (
    -- The SHA-256 of the state, and of what the browser keeps in its cookie, in hexadecimal.
    state_hash   text    NOT NULL PRIMARY KEY,
    browser_hash text    NOT NULL,
    provider     text    NOT NULL,
    nonce        text    NOT NULL,
    verifier     text    NOT NULL,
    -- For somebody who is signed in and links an account: who, of which epoch, in which session.
    user_id      text    REFERENCES users (id) ON DELETE CASCADE,
    epoch        bigint,
    session_id   text,
    expires_at   bigint  NOT NULL
);

CREATE INDEX oauth_flows_by_age ON oauth_flows (expires_at);

-- Codes that were given to the front end, each good for one session.
CREATE TABLE oauth_codes (
    -- The SHA-256 of the code, in hexadecimal.
    code_hash  text    NOT NULL PRIMARY KEY,
    user_id    text    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    epoch      bigint  NOT NULL,
    expires_at bigint  NOT NULL
);

CREATE INDEX oauth_codes_by_age ON oauth_codes (expires_at);
