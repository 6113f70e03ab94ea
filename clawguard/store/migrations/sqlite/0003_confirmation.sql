-- Bound tokens: what a session's tokens are bound to, and the proofs that must not come a second time.

-- `cnf` is a JSON object of one thumbprint, as the token's claim is (RFC 7800).
ALTER TABLE sessions ADD COLUMN cnf TEXT;

-- `digest` is SHA-256 of the proof's key and id, `until` the last moment at which it would be accepted.
CREATE TABLE proof_ids (
    digest BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What could be shown until then and no longer has been forgotten: a clock that was ahead must not make it new.
ALTER TABLE meta ADD COLUMN proofs_forgotten INTEGER NOT NULL DEFAULT 0;

CREATE INDEX proof_ids_until ON proof_ids (until);
