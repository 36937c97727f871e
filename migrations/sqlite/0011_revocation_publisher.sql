-- One row: which process carries the tail of the revocations to the gateways, and until when nobody
-- else may, in milliseconds since the epoch by the clock of the database.
CREATE TABLE revocation_publisher (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    holder     TEXT    NOT NULL,
    held_until INTEGER NOT NULL
) STRICT;

INSERT INTO revocation_publisher (one, holder, held_until) VALUES (1, '', 0);
