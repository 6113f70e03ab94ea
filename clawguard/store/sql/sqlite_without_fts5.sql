-- What SQLite says where it was built without FTS5: there is no index, and what would keep it does nothing.

-- name: words.available
SELECT 1 WHERE 0;

-- name: words.left
-- An index that another build of SQLite made.
SELECT 1 FROM sqlite_schema WHERE name = 'entry_words';

-- name: words.behind
-- What is appended meanwhile is indexed by whoever can.
SELECT 0, 0;

-- name: words.delete
SELECT :session_id, :seq WHERE 0;

-- name: words.delete_all
SELECT :session_id WHERE 0;

-- name: words.delete_stretch
SELECT :after, :until WHERE 0;

-- name: words.merge
SELECT :pages WHERE 0;

-- name: words.purge
SELECT :ids WHERE 0;
