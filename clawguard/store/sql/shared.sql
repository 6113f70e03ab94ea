-- The statements in SQL that any engine takes, by name.

-- fragment: session_columns
id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes,
task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version,
channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at,
token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause,
reason, ended_by, due_at, grant_name, granted, uses_left, refresh_idle, cnf

-- fragment: ended_columns
id, version, agent_id, subject, workspace_id, cause, reason, ended_by

-- name: migration.add
INSERT INTO migrations (number, name, digest, applied_at) VALUES (:number, :name, :digest, :now);

-- name: migration.list
SELECT number, digest FROM migrations ORDER BY number;

-- name: meta.get
-- What is known of the database itself.
SELECT schema_version, issuer, audience, revision, policy FROM meta WHERE id = 1;

-- name: meta.identity
-- What no other database has alike.
SELECT founded_at, issuer FROM meta WHERE id = 1;

-- name: meta.found
-- Make the database ours; the first process to come does it.
INSERT INTO meta (id, schema_version, issuer, audience, revision, founded_at)
VALUES (1, :schema_version, :issuer, :audience, 1, :now);

-- name: meta.set_schema
-- Tell running processes of another version that the schema moved.
UPDATE meta SET schema_version = :schema_version, revision = revision + 1 WHERE id = 1;

-- name: meta.bump
-- Tell every process that the keys or the policy changed.
UPDATE meta SET revision = revision + 1 WHERE id = 1 RETURNING revision;

-- name: meta.barrier
-- Write something, so that a power-safe commit stands behind all earlier ones.
UPDATE meta SET barrier = barrier + 1 WHERE id = 1;

-- name: change.head
-- What every write begins with: schema, revision, the chain's head and its time.
SELECT m.schema_version, m.revision, e.seq, e.hash, e.at
FROM meta m LEFT JOIN events e ON e.seq = (SELECT max(seq) FROM events)
WHERE m.id = 1;

-- name: policy.get
-- Read a policy by its digest.
SELECT body FROM policies WHERE digest = :digest;

-- name: policy.keep
-- Keep a policy, so that an event's digest can be looked up.
INSERT INTO policies (digest, body, first_at) VALUES (:digest, :body, :now) ON CONFLICT (digest) DO NOTHING;

-- name: policy.put_in_force
UPDATE meta SET policy = :digest WHERE id = 1;

-- name: keys.all
-- Every key that is not yet forgotten, oldest first.
SELECT kid, algorithm, state, public_jwk, sealed, verify_until, ends_pending, created_at, activated_at
FROM signing_keys ORDER BY created_at, kid;

-- name: keys.insert
-- Add a key.
INSERT INTO signing_keys (kid, algorithm, state, public_jwk, sealed, created_at, activated_at)
VALUES (:kid, :algorithm, :state, :public_jwk, :sealed, :now, :activated_at);

-- name: keys.activate
-- Let the next key sign.
UPDATE signing_keys SET state = 'active', activated_at = :now WHERE kid = :kid AND state = 'next';

-- name: keys.retire
-- Stop signing with a key and let it verify until its longest token has ended; its private part is forgotten.
UPDATE signing_keys SET state = 'retiring', verify_until = :verify_until, sealed = NULL
WHERE kid = :kid AND state = 'active';

-- name: keys.compromise
-- Stop trusting a key at once; its private part is forgotten.
UPDATE signing_keys SET state = 'compromised', verify_until = NULL, sealed = NULL, ends_pending = :ends_pending
WHERE kid = :kid;

-- name: keys.ends_done
-- Note that every session a compromised key signed has ended.
UPDATE signing_keys SET ends_pending = 0 WHERE kid = :kid;

-- name: keys.prune
-- Stop verifying with keys whose last token has ended.
UPDATE signing_keys SET state = 'retired' WHERE state = 'retiring' AND verify_until <= :now RETURNING kid;

-- name: keys.last_token
-- When the last token of a key that may still be used ends.
SELECT max(token_expires_at) FROM sessions WHERE ended_at IS NULL AND kid = :kid;

-- name: validate.pulse
-- The whole of a cached validation: has the row moved, is it due, have the keys or the policy changed?
SELECT version, due_at, (SELECT revision FROM meta WHERE id = 1) FROM sessions WHERE id = :id;

-- name: validate.standing
-- What a decision needs of a session's row, and the revision of keys and policy.
SELECT s.version, s.generation, s.jti, s.kid, s.agent_id, s.subject, s.workspace_id, s.audience, s.role, s.scopes,
       s.task_type, s.actors, s.expires_at, s.due_at, s.idle_timeout, s.last_source, s.ended_at, s.cause, s.reason,
       s.due_cause, s.depth, s.grant_name, s.granted, s.uses_left, s.cnf, m.revision, m.schema_version
FROM meta m LEFT JOIN sessions s ON s.id = :id WHERE m.id = 1;

-- name: feed.page
-- Whom the events behind one concern.
SELECT seq, session_id FROM events WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: session.insert
-- Bring a session into being, unless its agent is disabled; nothing else does.
INSERT INTO sessions (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id,
    audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata,
    engine_url, engine_version, channel_id, room_id, sender_id, state, kid, jti, created_at, issued_at,
    token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, grant_name, granted,
    uses_left, refresh_idle, cnf)
SELECT :id, :version, :generation, :key, :request_id, :agent_id, :agent_alias, :subject, :workspace_id,
    :audience, :role, :scopes, :task_type, :actors, :parent_id, :root_id, :depth, :delegable, :forked_from, :name,
    :metadata, :engine_url, :engine_version, :channel_id, :room_id, :sender_id, :state, :kid, :jti, :created_at,
    :issued_at, :token_expires_at, :ttl, :expires_at, :absolute_expires_at, :idle_timeout, :last_activity,
    :grant_name, :granted, :uses_left, :refresh_idle, :cnf
WHERE NOT EXISTS (
    SELECT 1 FROM disabled_agents d WHERE d.workspace_id = :workspace_id AND d.agent_id = :agent_id
)
RETURNING id;

-- name: session.get
-- Read one session.
SELECT {session_columns} FROM sessions WHERE id = :id;

-- name: session.whose
-- What an event says of its session; that never changes.
SELECT id, agent_id, subject, workspace_id FROM sessions WHERE id = :id;

-- name: session.workspace
-- Whose a session is; that never changes.
SELECT workspace_id FROM sessions WHERE id = :id;

-- name: session.by_key
-- Read the unended session that holds a key.
SELECT {session_columns} FROM sessions WHERE workspace_id = :workspace_id AND key = :key AND ended_at IS NULL;

-- name: session.by_request
-- Read the session that a request made.
SELECT {session_columns} FROM sessions WHERE workspace_id = :workspace_id AND request_id = :request_id;

-- name: session.advance
-- Give a live session its next token; the generation is compared.
UPDATE sessions SET version = version + 1, generation = :generation + 1, jti = :jti, kid = :kid,
    issued_at = :issued_at, token_expires_at = :token_expires_at, expires_at = :expires_at,
    last_activity = CASE WHEN last_activity < :now THEN :now ELSE last_activity END
WHERE id = :id AND generation = :generation AND ended_at IS NULL AND due_at > :now
RETURNING {session_columns};

-- name: session.resign
-- Name another key for the present token of a live session.
UPDATE sessions SET version = version + 1, kid = :kid
WHERE id = :id AND generation = :generation AND ended_at IS NULL AND due_at > :now
RETURNING {session_columns};

-- name: refresh.get
-- Read a refresh token by its session and its secret's digest.
SELECT spent_at, grace_until, sealed FROM refresh_tokens WHERE session_id = :session_id AND digest = :digest;

-- name: refresh.get_with_session
-- The same, with all of the session behind it.
SELECT spent_at, grace_until, sealed, {session_columns}
FROM (
    SELECT spent_at, grace_until, sealed FROM refresh_tokens WHERE session_id = :session_id AND digest = :digest
) AS token CROSS JOIN sessions WHERE id = :session_id;

-- name: refresh.insert
-- Add the next token of a family.
INSERT INTO refresh_tokens (session_id, digest, created_at) VALUES (:session_id, :digest, :now);

-- name: refresh.spend
-- Spend a token; whoever comes second finds it spent.
UPDATE refresh_tokens SET spent_at = :now, grace_until = :until, sealed = :sealed
WHERE session_id = :session_id AND digest = :digest AND spent_at IS NULL RETURNING session_id;

-- name: refresh.any_stale
-- Is there a seal whose grace is over?
SELECT 1 FROM refresh_tokens WHERE sealed IS NOT NULL AND grace_until <= :now LIMIT 1;

-- name: refresh.wipe_stale
-- Forget the seals whose grace is over.
UPDATE refresh_tokens SET sealed = NULL WHERE sealed IS NOT NULL AND grace_until <= :now;

-- name: refresh.drop_unspent
-- Forget a family's token to be redeemed: another one takes its place.
DELETE FROM refresh_tokens WHERE session_id = :session_id AND spent_at IS NULL;

-- name: refresh.delete
-- Remove the families of sessions that are purged.
DELETE FROM refresh_tokens WHERE session_id IN ({ids});

-- name: proof.remember
-- Note a proof; whoever shows it a second time gets no row, nor whoever shows one that may have been forgotten.
INSERT INTO proof_ids (digest, until)
SELECT :digest, :until FROM meta WHERE id = 1 AND proofs_forgotten <= :until
ON CONFLICT (digest) DO NOTHING RETURNING digest;

-- name: proof.any_stale
-- Is there a proof that would not be accepted any more?
SELECT 1 FROM proof_ids WHERE until < :before LIMIT 1;

-- name: proof.forgotten
-- Say up to when proofs are no longer known.
UPDATE meta SET proofs_forgotten = :before WHERE id = 1 AND proofs_forgotten < :before;

-- name: proof.forget
-- Forget a batch of them.
DELETE FROM proof_ids WHERE digest IN (SELECT digest FROM proof_ids WHERE until < :before LIMIT :limit);

-- name: session.end_one
-- End a live session.
UPDATE sessions SET version = version + 1, ended_at = :now, cause = :cause, reason = :reason, ended_by = :actor
WHERE id = :id AND ended_at IS NULL AND due_at > :now
RETURNING {ended_columns};

-- name: session.end_due
-- Record the natural end of a session that is due.
UPDATE sessions SET version = version + 1, ended_at = due_at, cause = due_cause
WHERE id = :id AND ended_at IS NULL AND due_at <= :now
RETURNING {ended_columns};

-- name: session.spend
-- Take one use of a live session.
UPDATE sessions SET uses_left = uses_left - 1
WHERE id = :id AND generation = :generation AND uses_left > 0 AND ended_at IS NULL AND due_at > :now
RETURNING uses_left;

-- name: session.debit
-- Hand uses on to a child.
UPDATE sessions SET uses_left = uses_left - :uses WHERE id = :id AND uses_left >= :uses RETURNING uses_left;

-- name: agent.live
-- The live sessions of an agent, the oldest first.
SELECT id FROM sessions
WHERE workspace_id = :workspace_id AND agent_id = :agent_id AND ended_at IS NULL AND due_at > :now
    AND coalesce(uses_left, 1) > 0 ORDER BY id;

-- name: session.has_children
-- Probe for children that have not ended.
SELECT 1 FROM sessions WHERE parent_id = :id AND ended_at IS NULL LIMIT 1;

-- name: session.end_below
-- End everything below a session; what was due by then ended by itself.
WITH RECURSIVE below (id) AS (
    SELECT id FROM sessions WHERE parent_id = :id AND ended_at IS NULL
    UNION ALL
    SELECT s.id FROM sessions s JOIN below ON s.parent_id = below.id WHERE s.ended_at IS NULL
)
UPDATE sessions SET version = version + 1,
    ended_at = CASE WHEN due_at <= :now THEN due_at ELSE :now END,
    cause = CASE WHEN due_at <= :now THEN due_cause ELSE 'parent' END,
    ended_by = CASE WHEN due_at <= :now THEN NULL ELSE :actor END
WHERE id IN (SELECT id FROM below)
RETURNING {ended_columns};

-- name: session.unended
-- The next unended sessions that filters pick.
SELECT id FROM sessions WHERE id > :after AND ended_at IS NULL AND {filters} ORDER BY id LIMIT :limit;

-- name: session.parents_among
-- Which of these sessions have children that have not ended.
SELECT DISTINCT parent_id FROM sessions
WHERE ended_at IS NULL AND parent_id IN ({ids});

-- name: session.count_hit
-- How many live sessions an end of those that filters pick would reach, with all below them.
WITH RECURSIVE hit (hit_id) AS (
    SELECT id FROM sessions WHERE ended_at IS NULL AND due_at > :now AND {filters}
    UNION
    SELECT s.id FROM sessions s JOIN hit ON s.parent_id = hit.hit_id WHERE s.ended_at IS NULL AND s.due_at > :now
)
SELECT count(*) FROM hit;

-- filter: workspace_id
workspace_id = :workspace_id

-- filter: line_of
id = :line_of

-- filter: key_id
kid = :key_id

-- filter: issued_before
issued_at < :issued_before

-- name: agent.disable
-- Forbid an agent new sessions, unless it is forbidden already.
INSERT INTO disabled_agents (workspace_id, agent_id, disabled_at, reason, disabled_by)
VALUES (:workspace_id, :agent_id, :now, :reason, :actor)
ON CONFLICT (workspace_id, agent_id) DO NOTHING RETURNING agent_id;

-- name: agent.enable
DELETE FROM disabled_agents WHERE workspace_id = :workspace_id AND agent_id = :agent_id RETURNING agent_id;

-- name: agent.disabled
-- The agents of a workspace that are disabled.
SELECT agent_id, disabled_at, reason, disabled_by FROM disabled_agents
WHERE workspace_id = :workspace_id ORDER BY agent_id;

-- name: agent.page
-- The agents of a workspace that have live sessions or are disabled, by name, each with the newest session of the live.
WITH counted (whose, live, newest) AS (
    SELECT agent_id, count(*), max(id) FROM sessions
    WHERE workspace_id = :workspace_id AND agent_id > :after
        AND ended_at IS NULL AND due_at > :now AND coalesce(uses_left, 1) > 0
    GROUP BY agent_id ORDER BY agent_id LIMIT :limit
), forbidden (whose, since, why, by_whom) AS (
    SELECT agent_id, disabled_at, reason, disabled_by FROM disabled_agents
    WHERE workspace_id = :workspace_id AND agent_id > :after ORDER BY agent_id LIMIT :limit
)
SELECT whose, live, since, why, by_whom, {session_columns}
FROM (
    SELECT c.whose, c.live, c.newest, f.since, f.why, f.by_whom
    FROM counted c LEFT JOIN forbidden f ON f.whose = c.whose
    UNION ALL
    SELECT f.whose, 0, NULL, f.since, f.why, f.by_whom FROM forbidden f
    WHERE NOT EXISTS (SELECT 1 FROM counted c WHERE c.whose = f.whose)
) AS known LEFT JOIN sessions ON id = newest
ORDER BY whose LIMIT :limit;

-- name: session.count_live
-- How many sessions are live.
SELECT count(*) FROM sessions
WHERE ended_at IS NULL AND due_at > :now AND coalesce(uses_left, 1) > 0 AND workspace_id = :workspace_id;

-- name: session.overdue
-- How many sessions of all workspaces are past their end without its being recorded.
SELECT count(*) FROM sessions WHERE ended_at IS NULL AND due_at <= :before;

-- name: session.touch
-- Note activity of a live session and of every ancestor; never backwards.
WITH RECURSIVE line (id, parent_id) AS (
    SELECT id, parent_id FROM sessions WHERE id = :id AND ended_at IS NULL AND due_at > :now
    UNION ALL
    SELECT s.id, s.parent_id FROM sessions s JOIN line ON s.id = line.parent_id
)
UPDATE sessions SET last_activity = :at
WHERE id IN (SELECT id FROM line) AND ended_at IS NULL AND due_at > :now AND last_activity < :at;

-- name: session.set_source
-- Note where a live session was last used from, if that is new.
UPDATE sessions SET last_source = :source WHERE id = :id AND ended_at IS NULL AND due_at > :now
    AND (last_source IS NULL OR last_source <> :source)
RETURNING version, agent_id, subject, workspace_id;

-- name: session.last_source
-- Where a session was last used from.
SELECT last_source FROM sessions WHERE id = :id;

-- name: session.set_name
UPDATE sessions SET version = version + 1, name = :name
WHERE id = :id AND ended_at IS NULL AND due_at > :now RETURNING {session_columns};

-- name: session.set_agent_alias
UPDATE sessions SET version = version + 1, agent_alias = :agent_alias
WHERE id = :id AND ended_at IS NULL AND due_at > :now RETURNING {session_columns};

-- name: session.set_metadata
UPDATE sessions SET version = version + 1, metadata = :metadata
WHERE id = :id AND ended_at IS NULL AND due_at > :now RETURNING {session_columns};

-- name: session.set_routing
-- A blank never overwrites.
UPDATE sessions SET version = version + 1, channel_id = coalesce(:channel_id, channel_id),
    room_id = coalesce(:room_id, room_id), sender_id = coalesce(:sender_id, sender_id)
WHERE id = :id AND ended_at IS NULL AND due_at > :now RETURNING {session_columns};

-- name: session.set_state
UPDATE sessions SET version = version + 1, state = :state, turn_id = :turn_id, turn_started_at = :turn_started_at
WHERE id = :id AND ended_at IS NULL AND due_at > :now RETURNING {session_columns};

-- name: session.running
-- Live sessions with a turn under way, the newest first.
SELECT {session_columns} FROM sessions
WHERE ended_at IS NULL AND state = 'running' AND due_at > :now AND workspace_id = :workspace_id
ORDER BY turn_started_at DESC, id DESC;

-- name: session.stuck
-- Live sessions whose turn has been under way since before a moment, or whose holder is silent; the oldest first.
SELECT {session_columns} FROM sessions s
WHERE ended_at IS NULL AND state = 'running' AND due_at > :now AND workspace_id = :workspace_id
    AND (turn_started_at < :before OR EXISTS (
        SELECT 1 FROM turns t WHERE t.session_id = s.id AND t.began_at IS NOT NULL
            AND (t.lease_until <= :now OR t.lease_until - t.leased_for > :now + :tolerance)))
ORDER BY turn_started_at, id;

-- name: turn.queue
-- Who stands in the queue for a session's turn, the first first.
SELECT number, turn_id, began_at, lease_until, leased_for FROM turns WHERE session_id = :session_id ORDER BY number;

-- name: turn.standing
-- Where a session's own end stands, and whether a ticket of it still counts.
SELECT s.cause, s.reason, s.due_at, s.due_cause, t.number
FROM sessions s LEFT JOIN turns t ON t.number = :number WHERE s.id = :session_id;

-- name: turn.stand
-- Take the next ticket; one that has begun is the turn itself.
INSERT INTO turns (session_id, turn_id, began_at, lease_until, leased_for)
VALUES (:session_id, :turn_id, :began_at, :until, :length) RETURNING number;

-- name: turn.begin
UPDATE turns SET began_at = :now WHERE number = :number;

-- name: turn.renew
UPDATE turns SET lease_until = :until, leased_for = :length WHERE number = :number RETURNING number;

-- name: turn.drop
DELETE FROM turns WHERE number = :number RETURNING number;

-- name: turn.give_back
-- The same, by whom it belongs to: a number whose commit never came to be is given out again.
DELETE FROM turns WHERE number = :number AND turn_id = :turn_id RETURNING number;

-- name: turn.delete
-- Remove what those left who died at work on sessions that are purged.
DELETE FROM turns WHERE session_id IN ({ids});

-- name: session.page
-- Newest first: ids sort as creation times do.
SELECT {session_columns} FROM sessions WHERE workspace_id = :workspace_id AND {filters}
ORDER BY id DESC LIMIT :limit;

-- filter: below_cursor
id < :cursor_id

-- filter: live
ended_at IS NULL AND due_at > :now AND coalesce(uses_left, 1) > 0

-- filter: not_live
(ended_at IS NOT NULL OR due_at <= :now OR uses_left = 0)

-- filter: agent_id
agent_id = :agent_id

-- filter: subject
subject = :subject

-- filter: role
role = :role

-- filter: state
state = :state

-- filter: channel_id
channel_id = :channel_id

-- filter: room_id
room_id = :room_id

-- filter: sender_id
sender_id = :sender_id

-- filter: parent_id
parent_id = :parent_id

-- name: session.tree
-- A session and everything below it, ended ones too, parents before children.
WITH RECURSIVE below (descendant_id) AS (
    SELECT id FROM sessions WHERE id = :id
    UNION ALL
    SELECT s.id FROM sessions s JOIN below ON s.parent_id = below.descendant_id
)
SELECT {session_columns} FROM sessions WHERE id IN (SELECT descendant_id FROM below) ORDER BY id;

-- name: session.tree_page
-- The same, so many of it after one.
WITH RECURSIVE below (descendant_id) AS (
    SELECT id FROM sessions WHERE id = :id
    UNION ALL
    SELECT s.id FROM sessions s JOIN below ON s.parent_id = below.descendant_id
)
SELECT {session_columns} FROM sessions WHERE id IN (SELECT descendant_id FROM below) AND id > :after
ORDER BY id LIMIT :limit;

-- name: session.lineage
-- A session and its ancestors, the root first.
WITH RECURSIVE line (ancestor_id, next_id) AS (
    SELECT id, parent_id FROM sessions WHERE id = :id
    UNION ALL
    SELECT s.id, s.parent_id FROM sessions s JOIN line ON s.id = line.next_id
)
SELECT {session_columns} FROM sessions WHERE id IN (SELECT ancestor_id FROM line) ORDER BY depth;

-- name: session.purgeable
-- The next batch of tombstones in trees that ended before a moment, children before their parents, and how much they
-- hold.
SELECT id, entry_count FROM sessions s
WHERE id < :below AND workspace_id = :workspace_id AND ended_at IS NOT NULL
    AND EXISTS (SELECT 1 FROM sessions r WHERE r.id = s.root_id AND r.ended_at < :before)
ORDER BY id DESC LIMIT :limit;

-- name: session.delete
-- Remove a batch of tombstones; another process may have removed some of them.
DELETE FROM sessions WHERE id IN ({ids}) AND ended_at IS NOT NULL RETURNING id;

-- name: event.insert
-- Link one event to the chain.
INSERT INTO events (seq, hash, type, at, session_id, cause_id, body)
VALUES (:seq, :hash, :type, :at, :session_id, :cause_id, :body);

-- name: event.page
-- A page of the log with each entry's predecessor's hash.
SELECT e.seq, e.hash, e.body, p.hash FROM events e LEFT JOIN events p ON p.seq = e.seq - 1
WHERE e.seq > :after AND {filters} ORDER BY e.seq LIMIT :limit;

-- filter: of_session
e.session_id = :session_id

-- filter: of_cause
e.cause_id = :cause_id

-- name: event.last_of
-- The first of the last entries of a session.
SELECT min(seq) FROM (
    SELECT seq FROM events WHERE session_id = :session_id ORDER BY seq DESC LIMIT :limit
) AS newest;

-- name: event.head
-- The last entry.
SELECT seq, hash, at FROM events ORDER BY seq DESC LIMIT 1;

-- name: event.first
-- The number of the first entry.
SELECT seq FROM events ORDER BY seq LIMIT 1;

-- name: event.first_since
-- The first entry after a number that is not older than a moment.
SELECT seq FROM events WHERE seq > :after AND at >= :at ORDER BY seq LIMIT 1;

-- name: event.mark
-- The last entry: once this transaction has committed, power-safe, the lock file names it.
SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1;

-- name: event.slowest_cursor
-- The subscriber that is furthest behind, and the last number it has dealt with: no archive may pass it.
SELECT name, position FROM event_cursors ORDER BY position LIMIT 1;

-- name: log_key.get
-- The key that signs checkpoints of the log.
SELECT kid, public_jwk, sealed FROM log_keys WHERE id = 1;

-- name: log_key.insert
-- The first process to come makes it, and none ever takes it away.
INSERT INTO log_keys (id, kid, public_jwk, sealed, created_at)
VALUES (1, :kid, :public_jwk, :sealed, :now) ON CONFLICT (id) DO NOTHING;

-- name: event.hash
-- The hash of one entry.
SELECT hash FROM events WHERE seq = :seq;

-- name: session.ended_as
-- Why a session ended.
SELECT cause, reason FROM sessions WHERE id = :id;

-- name: session.any_due
-- Is there anything for a sweep to do?
SELECT 1 FROM sessions WHERE ended_at IS NULL AND due_at <= :now LIMIT 1;

-- name: session.ends
-- Where a session's own end stands.
SELECT generation, expires_at, due_at, cause, reason, due_cause, uses_left, version FROM sessions WHERE id = :id;

-- name: validate.parent
-- What a delegation needs of the parent.
SELECT id, generation, agent_id, subject, workspace_id, audience, role, scopes, task_type, actors, root_id, depth,
       delegable, kid, created_at, ttl, expires_at, absolute_expires_at, idle_timeout, due_at, cause, reason,
       grant_name, granted, uses_left, refresh_idle, cnf
FROM sessions WHERE id = :id;

-- name: cursor.insert
-- Make a subscriber's cursor; one that is there goes on where it stands.
INSERT INTO event_cursors (name, incarnation, pattern, position, created_at)
VALUES (:name, :incarnation, :pattern, :position, :now)
ON CONFLICT (name) DO UPDATE SET pattern = excluded.pattern;

-- name: cursor.get
SELECT incarnation, pattern, position, owner, lease_until, leased_for, next_try_at
FROM event_cursors WHERE name = :name;

-- name: cursor.all
-- Every subscriber, with what it could not take.
SELECT name, pattern, position, owner, lease_until,
       (SELECT count(*) FROM parked_events p WHERE p.name = c.name)
FROM event_cursors c ORDER BY name;

-- name: cursor.lease
-- Serve a subscriber: whoever does so already, or anyone where nobody does any more. A lease that ended with its owner
-- at work is counted. One that ends later than it ever could is of a clock that was ahead.
UPDATE event_cursors SET lapses = lapses + CASE WHEN owner <> :owner THEN 1 ELSE 0 END,
    owner = :owner, lease_until = :until, leased_for = :length
WHERE name = :name AND incarnation = :incarnation
    AND (owner IS NULL OR owner = :owner OR lease_until <= :now OR lease_until - leased_for > :now)
RETURNING position, tries, lapses;

-- name: cursor.move
-- Note how far a subscriber has come. The position is compared, and not the owner: what was taken was taken. Of its
-- lease the owner alone has a say; an end of 0 gives it back.
UPDATE event_cursors SET position = :position, tries = 0, lapses = 0, next_try_at = 0,
    owner = CASE WHEN owner = :owner AND :until = 0 THEN NULL ELSE owner END,
    lease_until = CASE WHEN owner = :owner THEN :until ELSE lease_until END
WHERE name = :name AND incarnation = :incarnation AND position = :before RETURNING name;

-- name: cursor.wait
-- Note when to try the next event again, where no event could be taken; nobody is at work until then.
UPDATE event_cursors SET next_try_at = :until, lapses = 0,
    owner = CASE WHEN owner = :owner THEN NULL ELSE owner END
WHERE name = :name AND incarnation = :incarnation AND position = :position;

-- name: cursor.release
UPDATE event_cursors SET owner = NULL, lease_until = 0
WHERE name = :name AND incarnation = :incarnation AND owner = :owner;

-- name: cursor.delete
DELETE FROM event_cursors WHERE name = :name RETURNING name;

-- name: parked.insert
INSERT INTO parked_events (name, seq, error, tries, parked_at) VALUES (:name, :seq, :error, :tries, :now)
ON CONFLICT (name, seq) DO NOTHING;

-- name: parked.list
SELECT seq, error, tries, parked_at FROM parked_events WHERE name = :name ORDER BY seq;

-- name: parked.replay
-- Have parked events of a subscriber tried again: one, or all of them.
UPDATE parked_events SET replay = 1 WHERE name = :name AND (seq = :seq OR :seq = 0) RETURNING seq;

-- name: parked.due
SELECT seq FROM parked_events WHERE name = :name AND replay = 1 ORDER BY seq LIMIT 1;

-- name: parked.begin
-- Count a try of a parked event before it is made: one that ends its process is not tried for ever.
UPDATE parked_events SET replay = 0, tries = tries + 1 WHERE name = :name AND seq = :seq AND replay = 1 RETURNING tries;

-- name: parked.begin_anew
-- Take back a try that was none: the event is tried again.
UPDATE parked_events SET replay = 1, tries = tries - 1 WHERE name = :name AND seq = :seq;

-- name: parked.fail
UPDATE parked_events SET error = :error WHERE name = :name AND seq = :seq RETURNING tries;

-- name: parked.delete
DELETE FROM parked_events WHERE name = :name AND seq = :seq;

-- name: parked.delete_all
DELETE FROM parked_events WHERE name = :name;

-- fragment: entry_columns
seq, at, kind, role, content, data, auto_injected, tools_indexed, content_key, sealed

-- fragment: conversation_columns
id, key, name, agent_id, agent_alias, workspace_id, subject, channel_id, room_id, sender_id, state, turn_id,
turn_started_at, created_at, last_activity, ended_at, entry_count

-- name: conversation.get
-- What is known of a session as the holder of a conversation.
SELECT {conversation_columns} FROM sessions WHERE id = :id;

-- name: conversation.pulse
-- How many entries a session has, and whether more may come.
SELECT entry_count, ended_at IS NULL AND due_at > :now FROM sessions WHERE id = :id;

-- name: conversation.grow
-- Give a live session's conversation so many entries more, and note the activity.
UPDATE sessions SET entry_count = entry_count + :count,
    last_activity = CASE WHEN last_activity < :now THEN :now ELSE last_activity END
WHERE id = :id AND ended_at IS NULL AND due_at > :now
RETURNING entry_count, parent_id, agent_id, subject, workspace_id;

-- name: conversation.empty
-- Note that a session has no entries any more, whether it lives or not.
UPDATE sessions SET entry_count = 0 WHERE id = :id RETURNING id;

-- name: conversation.page
-- By last activity, the latest first.
SELECT {conversation_columns} FROM sessions
WHERE workspace_id = :workspace_id AND entry_count > 0 AND {filters}
ORDER BY last_activity DESC, id DESC LIMIT :limit;

-- filter: below_activity
(last_activity, id) < (:cursor_activity, :cursor_id)

-- fragment: at_work
WITH RECURSIVE at_work (id, parent_id) AS (
    SELECT id, parent_id FROM sessions
    WHERE ended_at IS NULL AND state = 'running' AND due_at > :now AND workspace_id = :workspace_id
    UNION
    SELECT s.id, s.parent_id FROM sessions s JOIN at_work a ON s.id = a.parent_id
)

-- name: conversation.stale
-- The next without activity since before a moment, the longest idle first; none of what runs or stands above it.
{at_work}
SELECT id FROM sessions
WHERE workspace_id = :workspace_id AND entry_count > 0 AND last_activity < :before
    AND id NOT IN (SELECT id FROM at_work)
ORDER BY last_activity, id LIMIT :limit;

-- name: conversation.count_stale
-- How many those are.
{at_work}
SELECT count(*) FROM sessions
WHERE workspace_id = :workspace_id AND entry_count > 0 AND last_activity < :before
    AND id NOT IN (SELECT id FROM at_work);

-- name: session.set_forked_from
-- Note whose conversation a live session goes on with.
UPDATE sessions SET version = version + 1, forked_from = :source
WHERE id = :id AND ended_at IS NULL AND due_at > :now RETURNING {session_columns};

-- name: entry.insert
-- Add an entry whose number `conversation.grow` gave.
INSERT INTO entries (session_id, {entry_columns}) VALUES
    (:session_id, :seq, :at, :kind, :role, :content, :data, :auto_injected, :tools_indexed, :content_key, :sealed);

-- name: entry.at
SELECT at FROM entries WHERE session_id = :session_id AND seq = :seq;

-- name: entry.sealed
-- The first sealed entry of a session's, where none should be.
SELECT {entry_columns} FROM entries WHERE session_id = :session_id AND seq <= :until AND content_key <> 0
ORDER BY seq LIMIT 1;

-- name: entry.copy
-- Give a session the first entries of another.
INSERT INTO entries (session_id, {entry_columns})
SELECT :into, {entry_columns} FROM entries WHERE session_id = :source AND seq <= :up_to ORDER BY seq;

-- name: entry.delete
DELETE FROM entries WHERE session_id = :session_id AND seq = :seq;

-- name: entry.delete_all
-- Remove a session's entries, all at once.
DELETE FROM entries WHERE session_id = :session_id;

-- name: entry.all
SELECT {entry_columns} FROM entries WHERE session_id = :session_id ORDER BY seq;

-- name: entry.tail
-- The newest entries, the newest first.
SELECT id, {entry_columns} FROM entries WHERE session_id = :session_id ORDER BY seq DESC LIMIT :limit;

-- name: entry.since
-- An entry and those that came after it.
SELECT id, {entry_columns} FROM entries WHERE session_id = :session_id AND seq >= :seq ORDER BY seq LIMIT :limit;

-- name: entry.page
-- A stretch of a session's entries.
SELECT {entry_columns} FROM entries WHERE session_id = :session_id AND seq > :after AND seq <= :until
ORDER BY seq LIMIT :limit;

-- name: entry.id
-- Tells an entry from another one that has its number later.
SELECT id FROM entries WHERE session_id = :session_id AND seq = :seq;

-- name: words.behind
-- Up to which entry the index goes, and which is the last.
SELECT until, (SELECT coalesce(max(id), 0) FROM entries) FROM entry_index;

-- name: words.reach
UPDATE entry_index SET until = :until;

-- name: entry.stretch
-- A stretch of all entries, for their words.
SELECT id, role, content, data, tools_indexed FROM entries WHERE id > :after ORDER BY id LIMIT :limit;

-- name: entry.any
SELECT 1 FROM entries LIMIT 1;

-- name: entry.to_seal
-- The next entries that are not under the active key, and about how long each is.
SELECT id, length(content) + coalesce(length(data), 0) + coalesce(length(sealed), 0) FROM entries
WHERE id > :after AND content_key < :active ORDER BY id LIMIT :limit;

-- name: entry.sealable
-- Those of a stretch, whole.
SELECT id, session_id, {entry_columns} FROM entries
WHERE id >= :first AND id <= :last AND content_key < :active ORDER BY id;

-- name: entry.count_to_seal
SELECT count(*) FROM entries WHERE content_key < :active;

-- name: content_keys.all
SELECT number, sealed FROM content_keys;

-- name: content_keys.insert
-- Have another key seal from now on; 0 says that there is plaintext.
INSERT INTO content_keys (number, sealed, created_at) VALUES (:number, :sealed, :now);

-- name: content_keys.seal
UPDATE content_keys SET sealed = :sealed WHERE number = :number;

-- name: content_keys.retire
-- Forget the keys that no entry is under any more.
DELETE FROM content_keys WHERE number < :active RETURNING number;

-- name: entry.purge
-- Remove the entries of sessions that are purged.
DELETE FROM entries WHERE session_id IN ({ids});

-- filter: entry_of_session
e.session_id = :session_id

-- filter: entry_of_agent
s.agent_id = :agent_id

-- filter: entry_of_channel
s.channel_id = :channel_id

-- filter: entry_since
e.at >= :since

-- filter: entry_until
e.at < :until

-- name: receipt.get
SELECT count FROM import_receipts WHERE session_id = :session_id AND digest = :digest;

-- name: receipt.insert
INSERT INTO import_receipts (session_id, digest, count, at) VALUES (:session_id, :digest, :count, :now);

-- name: receipt.all
SELECT session_id, digest FROM import_receipts;

-- name: receipt.set_digest
UPDATE import_receipts SET digest = :digest WHERE session_id = :session_id AND digest = :before;

-- name: receipt.delete
DELETE FROM import_receipts WHERE session_id = :session_id;

-- name: receipt.purge
DELETE FROM import_receipts WHERE session_id IN ({ids});

-- name: milestone.get
SELECT value, at FROM milestones WHERE workspace_id = :workspace_id AND key = :key;

-- name: milestone.set
INSERT INTO milestones (workspace_id, key, value, at) VALUES (:workspace_id, :key, :value, :now)
ON CONFLICT (workspace_id, key) DO UPDATE SET value = excluded.value, at = excluded.at;

-- name: milestone.set_once
-- Set what is not set yet; whoever comes second gets no row.
INSERT INTO milestones (workspace_id, key, value, at) VALUES (:workspace_id, :key, :value, :now)
ON CONFLICT (workspace_id, key) DO NOTHING RETURNING key;
