-- Proof of the log: the key that signs its checkpoints, and the events that tell of archives.

-- One row. The private key stands sealed, as the signing keys do; unlike them it is never retired.
CREATE TABLE log_keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    kid        TEXT    NOT NULL,
    public_jwk TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX events_archived ON events (seq) WHERE type = 'log.archived';
