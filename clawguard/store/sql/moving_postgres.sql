-- How PostgreSQL notes what changes while a database is copied.

-- fragment: overriding
OVERRIDING SYSTEM VALUE

-- fragment: blob_key
encode(COLUMN, 'hex')

-- name: move.make
CREATE TABLE moves (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    state    TEXT NOT NULL CHECK (state IN ('watched', 'receiving', 'moved')),
    capture  TEXT NOT NULL,
    copy     TEXT NOT NULL,
    told     TEXT NOT NULL,
    progress TEXT NOT NULL
);

-- name: move.make_changes
CREATE TABLE move_changes (
    number BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   TEXT NOT NULL,
    first  TEXT NOT NULL,
    second TEXT NOT NULL
);

-- each: move.watch_insert
CREATE FUNCTION move_{table}_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO move_changes (name, first, second) VALUES ('{table}', {new_key});
    RETURN NULL;
END $$;
CREATE TRIGGER move_{table}_insert AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION move_{table}_insert();

-- each: move.watch_update
CREATE FUNCTION move_{table}_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO move_changes (name, first, second) VALUES ('{table}', {old_key}), ('{table}', {new_key});
    RETURN NULL;
END $$;
CREATE TRIGGER move_{table}_update AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION move_{table}_update();

-- each: move.watch_delete
CREATE FUNCTION move_{table}_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO move_changes (name, first, second) VALUES ('{table}', {old_key});
    RETURN NULL;
END $$;
CREATE TRIGGER move_{table}_delete AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION move_{table}_delete();

-- each: move.unwatch_insert
DROP TRIGGER move_{table}_insert ON {table};
DROP FUNCTION move_{table}_insert();

-- each: move.unwatch_update
DROP TRIGGER move_{table}_update ON {table};
DROP FUNCTION move_{table}_update();

-- each: move.unwatch_delete
DROP TRIGGER move_{table}_delete ON {table};
DROP FUNCTION move_{table}_delete();

-- each: move.numbers
-- The greatest number that was ever given.
SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence('{table}', '{numbered}') AS regclass)), 0);

-- each: move.forget_numbers
SELECT 1;

-- each: move.go_on_behind
-- Give no number again that was ever given.
SELECT setval(pg_get_serial_sequence('shut_{table}', '{numbered}'), greatest(1, CAST(:number AS bigint)), :number > 0);
