-- The search's index is written behind the entries: those with an id up to `until` have their words in it.

CREATE TABLE entry_index (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    until INTEGER NOT NULL
) STRICT;

INSERT INTO entry_index (id, until) SELECT 1, coalesce(max(id), 0) FROM entries;
