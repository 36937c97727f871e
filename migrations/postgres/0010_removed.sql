-- Who and what was removed here, so that an import from the system it came from does not bring it
-- back. What stands here is the SHA-256 of an id, a name or an account, and nothing of it.
CREATE TABLE removed (
    mark       text    COLLATE "C" NOT NULL PRIMARY KEY,
    removed_at bigint  NOT NULL
);
