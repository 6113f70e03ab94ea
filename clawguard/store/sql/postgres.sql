-- What PostgreSQL says in its own way.

-- fragment: ids
-- The members of a JSON array of ids.
SELECT value FROM json_array_elements_text(CAST(:ids AS json))

-- fragment: line
-- The sessions that a list of actors names, in the list's order.
json_array_elements(CAST(:actors AS json)) WITH ORDINALITY AS a (actor, place) JOIN sessions s ON s.id = a.actor ->> 1

-- fragment: write_lock
-- Wait for the one write lock of a schema: it goes with the transaction.
SELECT pg_advisory_xact_lock(CAST(current_setting('clawguard.write_lock') AS bigint))

-- name: write.begin
-- Begin to write what is to survive the death of a process, the server's too: whoever has seen it may live on, and
-- must never see it gone. So it is on the server's disk before anybody sees it. Nobody else writes meanwhile, so what
-- waits to be linked is linked first, and the log is whole.
BEGIN; SET LOCAL synchronous_commit = local; {write_lock}; SELECT link_events(9223372036854775807);

-- name: write.begin_durable
-- The same for what no failover may undo: a standby that the server is to wait for has it too.
BEGIN; SET LOCAL synchronous_commit = on; {write_lock}; SELECT link_events(9223372036854775807);

-- name: write.begin_beside
-- Begin to write beside others, who do the same to other trees and names; and what such a write begins with.
BEGIN; SET LOCAL synchronous_commit = local;
SELECT schema_version, revision, NULL, NULL, latest FROM begin_beside(:names, :session_id);

-- name: write.begin_beside_durable
BEGIN; SET LOCAL synchronous_commit = on;
SELECT schema_version, revision, NULL, NULL, latest FROM begin_beside(:names, :session_id);

-- name: change.head
-- What a write that is alone begins with: schema, revision, the chain's head and the log's time, which is the latest of
-- the last events': who wrote the very last beside others may have a clock that is behind theirs.
SELECT m.schema_version, m.revision, e.seq, e.hash,
    (SELECT max(at) FROM (SELECT at FROM events ORDER BY seq DESC LIMIT 16) AS linked)
FROM meta m LEFT JOIN events e ON e.seq = (SELECT max(seq) FROM events)
WHERE m.id = 1;

-- name: event.insert_unlinked
-- Leave an event to be linked to the chain later.
INSERT INTO unlinked_events (type, at, session_id, cause_id, body) VALUES (:type, :at, :session_id, :cause_id, :body);

-- name: event.unlinked
-- Is there anything to be linked?
SELECT EXISTS (SELECT 1 FROM unlinked_events);

-- name: event.link
SELECT link_events(:most);

-- name: event.lag
-- How many events wait to be linked, and since when the first of them does.
SELECT count(*), min(at) FROM unlinked_events;

-- name: feed.head
-- The revision of keys and policy, the last event, and whom those concern that have no place yet, all at one moment.
SELECT revision, (SELECT coalesce(max(seq), 0) FROM events),
    (SELECT CAST(coalesce(json_agg(json_build_array(id, session_id)), '[]') AS text) FROM unlinked_events)
FROM meta WHERE id = 1;

-- name: write.lock
{write_lock};

-- name: step.or_fail
-- Run a statement that has to return a row; where it returns none, divide by zero.
WITH made AS ({statement}) SELECT 1 / count(*) FROM made;

-- name: hint.send
-- Tell who follows the log that he need not wait; in a transaction of its own, for it may fail.
SELECT pg_notify('clawguard:' || current_setting('clawguard.write_lock'), '');

-- name: connection.set_up
-- What holds for every statement; nobody is waited for without an end.
SELECT set_config('search_path', :schema || ', pg_temp', false),
    set_config('clawguard.write_lock', :lock, false), set_config('lock_timeout', :lock_timeout, false),
    set_config('statement_timeout', :statement_timeout, false),
    set_config('idle_in_transaction_session_timeout', :idle_timeout, false),
    set_config('default_transaction_isolation', 'read committed', false), set_config('jit', 'off', false);

-- name: connection.check
-- What a server must be, and which of its processes answers.
SELECT CAST(current_setting('server_version_num') AS integer), current_setting('server_encoding'),
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', pg_backend_pid();

-- name: connection.whose
-- Which of the server's processes answers now.
SELECT pg_backend_pid();

-- name: schema.find
-- Is there a ledger of ours, and is there the schema?
SELECT to_regclass(:schema || '.migrations') IS NOT NULL, to_regnamespace(:schema) IS NOT NULL;

-- name: validate.line
-- The ancestors that a session's actors name, as their authority is reckoned, in the actors' order.
SELECT s.agent_id, s.role, s.task_type, s.scopes, s.grant_name FROM {line} ORDER BY a.place;

-- name: validate.line_kids
-- The keys that signed for the ancestors that a session's actors name.
SELECT s.kid FROM {line};

-- name: refresh.wipe
-- Forget what a family has sealed.
UPDATE refresh_tokens SET sealed = NULL WHERE session_id = :session_id AND sealed IS NOT NULL;

-- name: session.claim_due
-- Record the natural ends of a batch of due sessions, the longest due first; what somebody else holds waits.
UPDATE sessions SET version = version + 1, ended_at = due_at, cause = due_cause
WHERE id IN (
    SELECT id FROM sessions WHERE ended_at IS NULL AND due_at <= :now
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING {ended_columns};

-- name: cursor.fail
-- Note that the next event was not taken, and when to try again; nobody is at work until then.
UPDATE event_cursors SET tries = tries + 1, lapses = 0,
    next_try_at = :now + least(:longest, :shortest << least(tries, 20)),
    owner = CASE WHEN owner = :owner THEN NULL ELSE owner END
WHERE name = :name AND incarnation = :incarnation AND position = :position RETURNING tries;

-- filter: walked_workspace_id
-- The same for a walk by id, without the index that would have to be sorted for every batch.
workspace_id || '' = :workspace_id

-- filter: of_types
EXISTS (SELECT 1 FROM json_array_elements_text(CAST(:types AS json)) WHERE e.type LIKE as_like(value))

-- filter: of_workspace
-- An entry that cannot be read is not passed over: who reads it is told.
coalesce(as_json(e.body) ->> 'workspace_id' = :workspace_id, as_json(e.body) IS NULL)

-- name: event.links
-- A stretch of the log as it stands, and whether each entry's columns say what its text says.
SELECT e.seq, e.hash, convert_to(e.body, 'UTF8'), coalesce(
    e.type IS NOT DISTINCT FROM t.told ->> 'type' AND CAST(e.at AS text) IS NOT DISTINCT FROM t.told ->> 'at'
    AND e.session_id IS NOT DISTINCT FROM t.told ->> 'session_id'
    AND e.cause_id IS NOT DISTINCT FROM t.told ->> 'cause_id' AND t.told IS NOT NULL, FALSE)
FROM events e CROSS JOIN LATERAL (SELECT as_json(e.body) AS told) t
WHERE e.seq > :after AND e.seq <= :until ORDER BY e.seq LIMIT :limit;

-- name: event.cut
-- The last event that tells of an archive, by its small index.
SELECT seq, body FROM events WHERE type = 'log.archived' ORDER BY seq DESC LIMIT 1;

-- name: event.remove
-- Remove a batch of archived entries, the oldest first, and never the last of all.
DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= :until ORDER BY seq LIMIT :limit)
    AND seq < (SELECT max(seq) FROM events)
RETURNING seq;

-- name: entry.replace
-- Put another entry in one's place, with an id of its own; number and time stay.
UPDATE entries SET id = DEFAULT, kind = :kind, role = :role, content = :content, data = :data,
    auto_injected = :auto_injected, tools_indexed = :tools_indexed, content_key = :content_key, sealed = :sealed
WHERE session_id = :session_id AND seq = :seq;

-- name: entry.seal
-- Seal an entry, unless somebody has written it since it was read.
UPDATE entries SET content = '', data = NULL, content_key = :content_key, sealed = :sealed
WHERE id = :id AND content_key = :before AND sealed IS NOT DISTINCT FROM :sealed_before;

-- name: words.available
-- A row where there is an index to be searched.
SELECT 1;

-- name: words.left
-- A row where there is an index that cannot be emptied.
SELECT 1 WHERE FALSE;

-- name: words.check
-- The server minds what its indexes hold.
SELECT 1;

-- name: words.compare
-- How many entries the index lacks, and how much is in it that belongs to none; sealed entries have no words.
SELECT
    (SELECT count(*) FROM entries e
     WHERE CAST(:is_plain AS bigint) = 1 AND id <= (SELECT until FROM entry_index) AND content_key = 0 AND (
         (content <> '' AND role IS DISTINCT FROM 'tool')
         OR (tools_indexed = 1 AND (data IS NOT NULL OR (content <> '' AND role = 'tool'))))
        AND NOT EXISTS (SELECT 1 FROM entry_words w WHERE w.entry_id = e.id)),
    (SELECT count(DISTINCT entry_id) FROM entry_words w
     WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE CAST(:is_plain AS bigint) = 1 AND e.id = w.entry_id));

-- name: words.insert
-- Let an entry be found; what is very long stands in parts.
INSERT INTO entry_words (entry_id, part, words, tools, document)
SELECT :id, p.part, p.words, p.tools, CAST(p.document AS tsvector)
FROM json_to_recordset(CAST(:parts AS json)) AS p (part integer, words text, tools text, document text);

-- name: words.delete
DELETE FROM entry_words WHERE entry_id = (SELECT id FROM entries WHERE session_id = :session_id AND seq = :seq);

-- name: words.delete_all
DELETE FROM entry_words WHERE entry_id IN (SELECT id FROM entries WHERE session_id = :session_id);

-- name: words.delete_stretch
-- Remove the words of a stretch of all entries, also of such as are no more.
DELETE FROM entry_words WHERE entry_id > :after AND entry_id <= :until;

-- name: words.purge
DELETE FROM entry_words WHERE entry_id IN (SELECT id FROM entries WHERE session_id IN ({ids}));

-- name: words.merge
-- The server cleans its indexes by itself.
SELECT :pages;

-- name: words.written
SELECT 0;

-- name: words.search
-- Entries by their words, the best first, each by the part of it that fits best.
WITH found (id, part, score) AS (
    SELECT DISTINCT ON (e.id) e.id, w.part, -ts_rank(w.document, CAST(:query AS tsquery))
    FROM entry_words w JOIN entries e ON e.id = w.entry_id JOIN sessions s ON s.id = e.session_id
    WHERE w.document @@ CAST(:query AS tsquery) AND s.workspace_id = :workspace_id AND {filters}
    ORDER BY e.id, 3, w.part
)
SELECT e.session_id, e.seq, e.at, e.kind, e.role, s.agent_id, s.agent_alias, s.channel_id,
    substr(w.words, 1, CAST(:seen AS integer)), substr(w.tools, 1, CAST(:seen AS integer)), found.score
FROM (SELECT * FROM found ORDER BY score, id DESC LIMIT :limit) AS found
    JOIN entry_words w ON w.entry_id = found.id AND w.part = found.part
    JOIN entries e ON e.id = found.id JOIN sessions s ON s.id = e.session_id
ORDER BY found.score, found.id DESC;

-- name: move.known
-- A row where anything of a move is known.
SELECT 1 WHERE to_regclass('moves') IS NOT NULL;
