-- What moves a database into another, in SQL that any engine takes. Each statement stands here once for all tables.

-- name: move.state
-- Whether the database is being copied, is a copy that is not whole yet, or was moved.
SELECT state, capture, copy, told, progress FROM moves WHERE id = 1;

-- name: move.begin
-- Say what becomes of this database: that of a new copy, or one that is copied.
INSERT INTO moves (id, state, capture, copy, told, progress) VALUES (1, :state, :capture, :copy, :told, :progress);

-- name: move.step
-- Note how far a copy is; another process that copies too finds that it is not alone.
UPDATE moves SET progress = :progress WHERE id = 1 AND progress = :before RETURNING id;

-- name: move.leave
-- Mark a database moved, in the transaction of its last read.
UPDATE moves SET state = 'moved', copy = :copy, told = :told WHERE id = 1;

-- name: move.forget
-- Nothing is moving any more.
DROP TABLE moves;

-- name: move.changes
-- What has changed behind a number, up to another.
SELECT number, name, first, second FROM move_changes WHERE number > :after AND number <= :until
ORDER BY number LIMIT :limit;

-- name: move.last_change
SELECT coalesce(max(number), 0) FROM move_changes;

-- name: move.last_kept
SELECT seq, hash FROM shut_events ORDER BY seq DESC LIMIT 1;

-- name: move.forget_changes
DROP TABLE move_changes;

-- each: move.page
SELECT {columns} FROM {table} WHERE ({key}) > ({place}) ORDER BY {key} LIMIT :limit;

-- each: move.row
SELECT {columns} FROM {table} WHERE {is_key};

-- each: move.count
SELECT count(*) FROM {table};

-- each: move.there
-- What a copy has by now.
SELECT count(*) FROM shut_{table};

-- each: move.kept
SELECT {columns} FROM shut_{table} WHERE ({key}) > ({place}) ORDER BY {key} LIMIT :limit;

-- each: move.put
-- Add a row. What stands in its way has changed since, as the row has, and so both come again.
INSERT INTO shut_{table} ({columns}) {overriding} VALUES ({values}) ON CONFLICT DO NOTHING;

-- each: move.drop
DELETE FROM shut_{table} WHERE {is_key};

-- each: move.hide
-- Take a table from everybody who has the database open.
ALTER TABLE {table} RENAME TO shut_{table};

-- each: move.show
ALTER TABLE shut_{table} RENAME TO {table};
