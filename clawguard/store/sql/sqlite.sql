-- What SQLite says in its own way.

-- fragment: ids
-- The members of a JSON array of ids.
SELECT value FROM json_each(:ids)

-- name: validate.line
-- The ancestors that a session's actors name, as their authority is reckoned, in the actors' order.
SELECT s.agent_id, s.role, s.task_type, s.scopes, s.grant_name
FROM json_each(:actors) a CROSS JOIN sessions s ON s.id = json_extract(a.value, '$[1]');

-- name: validate.line_kids
-- The keys that signed for the ancestors that a session's actors name.
SELECT s.kid FROM json_each(:actors) a CROSS JOIN sessions s ON s.id = json_extract(a.value, '$[1]');

-- name: feed.head
-- The revision of keys and policy, and the last event; none waits for a place.
SELECT revision, (SELECT coalesce(max(seq), 0) FROM events), '[]' FROM meta WHERE id = 1;

-- name: refresh.wipe
-- Forget what a family has sealed; by the small index, for a family's spent tokens may be many.
UPDATE refresh_tokens INDEXED BY refresh_tokens_sealed SET sealed = NULL
WHERE session_id = :session_id AND sealed IS NOT NULL;

-- name: session.claim_due
-- Record the natural ends of a batch of due sessions, the longest due first.
UPDATE sessions SET version = version + 1, ended_at = due_at, cause = due_cause
WHERE rowid IN (SELECT rowid FROM sessions WHERE ended_at IS NULL AND due_at <= :now ORDER BY due_at LIMIT :limit)
RETURNING {ended_columns};

-- filter: of_types
EXISTS (SELECT 1 FROM json_each(:types) WHERE e.type GLOB value)

-- filter: of_workspace
-- An entry that cannot be read is not passed over: who reads it is told.
CASE WHEN json_valid(e.body) THEN json_extract(e.body, '$.workspace_id') = :workspace_id ELSE 1 END

-- name: event.links
-- A stretch of the log as it stands, and whether each entry's columns say what its text says.
SELECT seq, hash, CAST(body AS BLOB), CASE WHEN json_valid(body) THEN
    type IS json_extract(body, '$.type') AND at IS json_extract(body, '$.at')
    AND session_id IS json_extract(body, '$.session_id') AND cause_id IS json_extract(body, '$.cause_id')
    ELSE 0 END
FROM events WHERE seq > :after AND seq <= :until ORDER BY seq LIMIT :limit;

-- name: event.cut
-- The last event that tells of an archive, by its small index.
SELECT seq, body FROM events INDEXED BY events_archived WHERE type = 'log.archived' ORDER BY seq DESC LIMIT 1;

-- name: event.remove
-- Remove a batch of archived entries, the oldest first, and never the last of all.
DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= :until ORDER BY seq LIMIT :limit)
    AND seq < (SELECT max(seq) FROM events)
RETURNING seq;

-- name: entry.replace
-- Put another entry in one's place, with an id of its own; number and time stay.
INSERT OR REPLACE INTO entries (session_id, {entry_columns})
SELECT session_id, seq, at, :kind, :role, :content, :data, :auto_injected, :tools_indexed, :content_key, :sealed
FROM entries WHERE session_id = :session_id AND seq = :seq;

-- name: entry.seal
-- Seal an entry, unless somebody has written it since it was read.
UPDATE entries SET content = '', data = NULL, content_key = :content_key, sealed = :sealed
WHERE id = :id AND content_key = :before AND sealed IS :sealed_before;

-- name: words.possible
-- A row where this SQLite was built with full-text search.
SELECT 1 FROM pragma_module_list WHERE name = 'fts5';

-- name: words.absent
-- A row where the database was made by one that was not.
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'entry_words');

-- name: words.make
CREATE VIRTUAL TABLE IF NOT EXISTS entry_words USING fts5 (words, tools, tokenize = 'unicode61 remove_diacritics 2');

-- name: words.available
-- A row where there is an index to be searched.
SELECT 1;

-- name: words.left
-- A row where there is an index that cannot be emptied.
SELECT 1 WHERE 0;

-- name: words.check
-- Fail where the index is not what its own content says.
INSERT INTO entry_words (entry_words) VALUES ('integrity-check');

-- name: words.compare
-- How many entries the index lacks, and how much is in it that belongs to none; sealed entries have no words.
SELECT
    (SELECT count(*) FROM entries e
     WHERE :is_plain AND id <= (SELECT until FROM entry_index) AND content_key = 0 AND (
         (content <> '' AND role IS NOT 'tool')
         OR (tools_indexed AND (data IS NOT NULL OR (content <> '' AND role IS 'tool'))))
        AND NOT EXISTS (SELECT 1 FROM entry_words w WHERE w.rowid = e.id)),
    (SELECT count(*) FROM entry_words w
     WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE :is_plain AND e.id = w.rowid));

-- name: words.insert
INSERT INTO entry_words (rowid, words, tools) VALUES (:id, :words, :tools);

-- name: words.delete
DELETE FROM entry_words WHERE rowid = (SELECT id FROM entries WHERE session_id = :session_id AND seq = :seq);

-- name: words.delete_all
DELETE FROM entry_words WHERE rowid IN (SELECT id FROM entries WHERE session_id = :session_id);

-- name: words.delete_stretch
-- Remove the words of a stretch of all entries, also of such as are no more.
DELETE FROM entry_words WHERE rowid > :after AND rowid <= :until;

-- name: words.merge
-- Do a piece of the work of making the index one again, without traces of what was removed.
INSERT INTO entry_words (entry_words, rank) VALUES ('merge', :pages);

-- name: words.written
-- By how much this has grown tells whether a piece of that work was the last.
SELECT total_changes();

-- name: words.search
-- Entries by their words, the best first, with the words that a snippet is made of. The index is one for all
-- workspaces, and bm25 reckons with all of it: a word counts by how few of the entries looked through hold it.
WITH hits (id, word) AS MATERIALIZED (
    SELECT w.rowid, q.key
    FROM json_each(:terms) q CROSS JOIN entry_words w CROSS JOIN entries e ON e.id = w.rowid
        CROSS JOIN sessions s ON s.id = e.session_id
    WHERE w.entry_words MATCH q.value AND s.workspace_id = :workspace_id AND {filters}
), found (id, score) AS MATERIALIZED (
    SELECT id, sum(weight) / -1e12
    FROM (SELECT id, 1000000000000 / count(*) OVER (PARTITION BY word) AS weight FROM hits)
    GROUP BY id ORDER BY 2, 1 DESC LIMIT :limit
)
SELECT e.session_id, e.seq, e.at, e.kind, e.role, s.agent_id, s.agent_alias, s.channel_id,
    substr(w.words, 1, :seen), substr(w.tools, 1, :seen), found.score
FROM found CROSS JOIN entry_words w ON w.rowid = found.id CROSS JOIN entries e ON e.id = found.id
    CROSS JOIN sessions s ON s.id = e.session_id
ORDER BY found.score, found.id DESC;

-- name: words.purge
DELETE FROM entry_words
WHERE rowid IN (SELECT id FROM entries WHERE session_id IN ({ids}));

-- name: cursor.fail
-- Note that the next event was not taken, and when to try again; nobody is at work until then.
UPDATE event_cursors SET tries = tries + 1, lapses = 0, next_try_at = :now + min(:longest, :shortest << min(tries, 20)),
    owner = CASE WHEN owner = :owner THEN NULL ELSE owner END
WHERE name = :name AND incarnation = :incarnation AND position = :position RETURNING tries;

-- filter: walked_workspace_id
-- The same for a walk by id: the plus keeps it from an index that would have to be sorted for every batch.
+workspace_id = :workspace_id

-- name: move.known
-- A row where anything of a move is known.
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'moves';
