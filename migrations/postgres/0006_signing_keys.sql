-- Keys that sign access tokens, beside those of the configuration. Which of them signs, and which
-- only verify, follows from these moments (milliseconds since the epoch) and the time of day.
CREATE TABLE signing_keys (
    kid           text   NOT NULL PRIMARY KEY,
    alg           text   NOT NULL,
    -- The private key in PEM, AES-256-GCM under a key that is not in this database.
    sealed        text   NOT NULL,
    -- From here on it verifies.
    created_at    bigint NOT NULL,
    -- From here on it signs; NULL: pending.
    active_from   bigint,
    -- From here on another one signs; NULL: it has no successor.
    retiring_from bigint,
    -- From here on it verifies no more.
    retired_from  bigint
);

-- Ids of keys that nothing is believed any more, wherever they are kept.
CREATE TABLE distrusted_keys (
    kid text   NOT NULL PRIMARY KEY,
    at  bigint NOT NULL
);
