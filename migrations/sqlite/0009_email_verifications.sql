-- Tokens that were mailed to show that an address is theirs, each good for one use. A table of their
-- own beside those for passwords: none of them is ever taken for the other.
CREATE TABLE email_verifications (
    -- The SHA-256 of the token, in hexadecimal.
    token_hash TEXT    NOT NULL PRIMARY KEY,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The address it was mailed to: good for nothing once that is not the user's any more.
    email      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX email_verifications_of_user ON email_verifications (user_id);
CREATE INDEX email_verifications_by_age ON email_verifications (expires_at);
