-- Content at rest: the keys that entries are sealed with, and which of them each entry is under.

-- No row: nothing is encrypted. The greatest number seals; those below it are retired once no entry is under them.
-- 0 is no key but plaintext, which a store still holds while it is being encrypted.
CREATE TABLE content_keys (
    number     INTEGER PRIMARY KEY CHECK (number >= 0),
    sealed     BLOB,
    created_at INTEGER NOT NULL,
    CHECK ((number = 0) = (sealed IS NULL))
) STRICT;

ALTER TABLE entries ADD COLUMN content_key INTEGER NOT NULL DEFAULT 0;

-- Both `content` and `data`, encrypted.
ALTER TABLE entries ADD COLUMN sealed BLOB
    CHECK ((sealed IS NULL) = (content_key = 0) AND (sealed IS NULL OR (content = '' AND data IS NULL)));
