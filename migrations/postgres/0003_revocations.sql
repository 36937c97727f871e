-- Everything that was revoked, in the order of the commits: the truth that every feed carries.
CREATE TABLE revocations (
    seq       bigint  NOT NULL PRIMARY KEY,
    at        bigint  NOT NULL,
    -- When nothing is left that it could refuse; NULL: never.
    until     bigint,
    -- The entry, as JSON in the shape that feeds carry.
    entry     text    NOT NULL,
    -- For the revocation of one token: its key, in hexadecimal.
    token_key text
);

CREATE INDEX revocations_by_token ON revocations (token_key) WHERE token_key IS NOT NULL;
CREATE INDEX revocations_by_until ON revocations (until) WHERE until IS NOT NULL;

-- One row: the number of the last revocation, raised in the transaction that adds it, so that
-- numbers have no gaps and are in the order of the commits; and an id that a copy of these tables
-- restored from a backup must be given anew.
CREATE TABLE revocation_log (
    one    bigint  NOT NULL PRIMARY KEY CHECK (one = 1),
    log_id text    NOT NULL,
    seq    bigint  NOT NULL
);

INSERT INTO revocation_log (one, log_id, seq) VALUES (1, replace(gen_random_uuid()::text, '-', ''), 0);
