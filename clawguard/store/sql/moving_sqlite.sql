-- How SQLite notes what changes while a database is copied.

-- fragment: overriding

-- fragment: blob_key
lower(hex(COLUMN))

-- name: move.make
CREATE TABLE moves (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    state    TEXT NOT NULL CHECK (state IN ('watched', 'receiving', 'moved')),
    capture  TEXT NOT NULL,
    copy     TEXT NOT NULL,
    told     TEXT NOT NULL,
    progress TEXT NOT NULL
) STRICT;

-- name: move.make_changes
CREATE TABLE move_changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL,
    first  TEXT NOT NULL,
    second TEXT NOT NULL
) STRICT;

-- each: move.watch_insert
CREATE TRIGGER move_{table}_insert AFTER INSERT ON {table} BEGIN
    INSERT INTO move_changes (name, first, second) VALUES ('{table}', {new_key});
END;

-- each: move.watch_update
CREATE TRIGGER move_{table}_update AFTER UPDATE ON {table} BEGIN
    INSERT INTO move_changes (name, first, second) VALUES ('{table}', {old_key}), ('{table}', {new_key});
END;

-- each: move.watch_delete
CREATE TRIGGER move_{table}_delete AFTER DELETE ON {table} BEGIN
    INSERT INTO move_changes (name, first, second) VALUES ('{table}', {old_key});
END;

-- each: move.unwatch_insert
DROP TRIGGER move_{table}_insert;

-- each: move.unwatch_update
DROP TRIGGER move_{table}_update;

-- each: move.unwatch_delete
DROP TRIGGER move_{table}_delete;

-- each: move.numbers
-- The greatest number that was ever given.
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '{table}';

-- each: move.forget_numbers
DELETE FROM sqlite_sequence WHERE name = 'shut_{table}';

-- each: move.go_on_behind
-- Give no number again that was ever given.
INSERT INTO sqlite_sequence (name, seq) VALUES ('shut_{table}', :number);
