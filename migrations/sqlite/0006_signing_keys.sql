-- Keys that sign access tokens, beside those of the configuration. Which of them signs, and which
-- only verify, follows from these moments (milliseconds since the epoch) and the time of day.
CREATE TABLE signing_keys (
    kid           TEXT    NOT NULL PRIMARY KEY,
    alg           TEXT    NOT NULL,
    -- The private key in PEM, AES-256-GCM under a key that is not in this database.
    sealed        TEXT    NOT NULL,
    -- From here on it verifies.
    created_at    INTEGER NOT NULL,
    -- From here on it signs; NULL: pending.
    active_from   INTEGER,
    -- From here on another one signs; NULL: it has no successor.
    retiring_from INTEGER,
    -- From here on it verifies no more.
    retired_from  INTEGER
) STRICT;

-- Ids of keys that nothing is believed any more, wherever they are kept.
CREATE TABLE distrusted_keys (
    kid TEXT    NOT NULL PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT;
