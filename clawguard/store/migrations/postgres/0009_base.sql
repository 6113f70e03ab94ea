-- The schema as it is at its ninth version, the first that PostgreSQL has. Times are microseconds UTC, durations
-- microseconds; closed sets are checked here as well as in Python. What is compared or sorted is compared byte by byte.
-- What a table can grow large by leads its primary key, so that it can be partitioned by it: sessions by id, and so by
-- time; entries, refresh tokens and receipts by session; events by number; milestones by workspace.

CREATE TABLE migrations (
    number     BIGINT PRIMARY KEY,
    name       TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    applied_at BIGINT NOT NULL
);

-- One row. `revision` moves with every change of a key or the policy, and with every migration. What could be shown
-- until `proofs_forgotten` and no longer has been forgotten: a clock that was ahead must not make it new.
CREATE TABLE meta (
    id               BIGINT PRIMARY KEY CHECK (id = 1),
    schema_version   BIGINT NOT NULL,
    issuer           TEXT   NOT NULL,
    audience         TEXT   NOT NULL,
    revision         BIGINT NOT NULL,
    barrier          BIGINT NOT NULL DEFAULT 0,
    founded_at       BIGINT NOT NULL,
    policy           TEXT,
    proofs_forgotten BIGINT NOT NULL DEFAULT 0
);

-- Private keys stand sealed; the key-encryption key is never in the database.
CREATE TABLE signing_keys (
    kid          TEXT   COLLATE "C" PRIMARY KEY,
    algorithm    TEXT   NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
    state        TEXT   NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'retired', 'compromised')),
    public_jwk   TEXT   NOT NULL,
    sealed       BYTEA,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT,
    verify_until BIGINT,
    ends_pending BIGINT NOT NULL DEFAULT 0 CHECK (ends_pending IN (0, 1))
);

CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state = 'active';

-- Ended rows stay as tombstones until a purge. `parent_id` carries no foreign key: delegate and end keep the tree
-- whole, and a purge takes children first. `granted`: the session or one above it has a grant, so that its authority
-- hangs on the policy of the moment. A session with `refresh_idle` has a family of refresh tokens and ends so long
-- after it was last redeemed. `cnf` is a JSON object of one thumbprint, as the token's claim is (RFC 7800).
CREATE TABLE sessions (
    id                  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    version             BIGINT NOT NULL,
    generation          BIGINT NOT NULL CHECK (generation >= 1),
    key                 TEXT   COLLATE "C",
    request_id          TEXT   COLLATE "C",
    agent_id            TEXT   COLLATE "C" NOT NULL,
    agent_alias         TEXT,
    subject             TEXT   COLLATE "C" NOT NULL,
    workspace_id        TEXT   COLLATE "C" NOT NULL,
    audience            TEXT   NOT NULL,
    role                TEXT   COLLATE "C",
    scopes              TEXT   NOT NULL,
    task_type           TEXT,
    actors              TEXT   NOT NULL,
    parent_id           TEXT   COLLATE "C",
    root_id             TEXT   COLLATE "C" NOT NULL,
    depth               BIGINT NOT NULL CHECK (depth BETWEEN 0 AND 8),
    delegable           BIGINT NOT NULL CHECK (delegable IN (0, 1)),
    forked_from         TEXT   COLLATE "C",
    name                TEXT,
    metadata            TEXT   NOT NULL,
    engine_url          TEXT,
    engine_version      TEXT,
    channel_id          TEXT   COLLATE "C",
    room_id             TEXT   COLLATE "C",
    sender_id           TEXT   COLLATE "C",
    state               TEXT   NOT NULL CHECK (state IN ('idle', 'running', 'error')),
    turn_id             TEXT,
    turn_started_at     BIGINT,
    kid                 TEXT   COLLATE "C" NOT NULL,
    jti                 TEXT   NOT NULL,
    created_at          BIGINT NOT NULL,
    issued_at           BIGINT NOT NULL,
    token_expires_at    BIGINT NOT NULL,
    ttl                 BIGINT NOT NULL CHECK (ttl > 0),
    expires_at          BIGINT NOT NULL,
    absolute_expires_at BIGINT NOT NULL,
    idle_timeout        BIGINT CHECK (idle_timeout > 0),
    last_activity       BIGINT NOT NULL,
    last_source         TEXT,
    ended_at            BIGINT,
    cause               TEXT CHECK (cause IN ('ttl', 'idle', 'uses', 'finished', 'revoked', 'invalidated',
                                              'parent', 'agent', 'reuse', 'key', 'limit')),
    reason              TEXT CHECK (length(reason) <= 255),
    ended_by            TEXT,
    due_at              BIGINT NOT NULL GENERATED ALWAYS AS
                        (least(expires_at, absolute_expires_at, last_activity + idle_timeout)) STORED,
    due_cause           TEXT   NOT NULL GENERATED ALWAYS AS
                        (CASE WHEN last_activity + idle_timeout < least(expires_at, absolute_expires_at)
                              THEN 'idle' ELSE 'ttl' END) STORED,
    grant_name          TEXT,
    granted             BIGINT NOT NULL DEFAULT 0 CHECK (granted IN (0, 1)),
    uses_left           BIGINT CHECK (uses_left >= 0),
    refresh_idle        BIGINT CHECK (refresh_idle > 0),
    cnf                 TEXT,
    entry_count         BIGINT NOT NULL DEFAULT 0 CHECK (entry_count >= 0),
    CHECK ((ended_at IS NULL) = (cause IS NULL)),
    CHECK (token_expires_at <= expires_at),
    CHECK ((parent_id IS NULL) = (depth = 0))
);

CREATE INDEX sessions_live_due ON sessions (due_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_live_agent ON sessions (workspace_id, agent_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_parent ON sessions (parent_id, ended_at) WHERE parent_id IS NOT NULL;
CREATE INDEX sessions_live_running ON sessions (workspace_id, turn_started_at)
    WHERE ended_at IS NULL AND state = 'running';
CREATE UNIQUE INDEX sessions_live_key ON sessions (workspace_id, key) WHERE ended_at IS NULL AND key IS NOT NULL;
CREATE UNIQUE INDEX sessions_request ON sessions (workspace_id, request_id) WHERE request_id IS NOT NULL;
-- Only sessions that have a conversation: a create pays nothing for it.
CREATE INDEX sessions_conversations ON sessions (workspace_id, last_activity, id) WHERE entry_count > 0;

-- `body` is the RFC 8785 text that is hashed; the columns repeat parts of it for searching, and `verify` compares them
-- with it.
CREATE TABLE events (
    seq        BIGINT PRIMARY KEY,
    hash       BYTEA  NOT NULL CHECK (length(hash) = 32),
    type       TEXT   COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    session_id TEXT   COLLATE "C",
    cause_id   TEXT   COLLATE "C",
    body       TEXT   NOT NULL
);

-- Events that are committed and have no place in the chain yet: a queue, emptied in the order of ids. An id is given
-- out under the locks of its writer, so that of two events of which one came after the other it has the greater.
CREATE TABLE unlinked_events (
    id         BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type       TEXT   COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    session_id TEXT   COLLATE "C",
    cause_id   TEXT   COLLATE "C",
    body       TEXT   NOT NULL
);

CREATE INDEX events_session ON events (session_id, seq) WHERE session_id IS NOT NULL;
CREATE INDEX events_cause ON events (cause_id, seq) WHERE cause_id IS NOT NULL;
CREATE INDEX events_archived ON events (seq) WHERE type = 'log.archived';

-- Every policy that was ever in force, by the digest that events name; the last one put in force is meta.policy.
CREATE TABLE policies (
    digest   TEXT   COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    body     TEXT   NOT NULL,
    first_at BIGINT NOT NULL
);

CREATE TABLE disabled_agents (
    workspace_id TEXT   COLLATE "C" NOT NULL,
    agent_id     TEXT   COLLATE "C" NOT NULL,
    disabled_at  BIGINT NOT NULL,
    reason       TEXT   CHECK (length(reason) <= 255),
    disabled_by  TEXT   NOT NULL,
    PRIMARY KEY (workspace_id, agent_id)
);

-- `digest` is SHA-256 of the secret. `sealed` is the successor, under this token's secret: for a moment, a lost answer
-- may be asked for again.
CREATE TABLE refresh_tokens (
    session_id  TEXT   COLLATE "C" NOT NULL,
    digest      BYTEA  NOT NULL CHECK (length(digest) = 32),
    created_at  BIGINT NOT NULL,
    spent_at    BIGINT,
    grace_until BIGINT,
    sealed      BYTEA,
    PRIMARY KEY (session_id, digest),
    CHECK ((spent_at IS NULL) = (grace_until IS NULL)),
    CHECK (sealed IS NULL OR spent_at IS NOT NULL)
);

CREATE INDEX refresh_tokens_sealed ON refresh_tokens (session_id) WHERE sealed IS NOT NULL;

-- `digest` is SHA-256 of the proof's key and id, `until` the last moment at which it would be accepted.
CREATE TABLE proof_ids (
    digest BYTEA  NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    until  BIGINT NOT NULL
);

CREATE INDEX proof_ids_until ON proof_ids (until);

-- Durable subscribers: how far each has come, who serves it at the moment. `incarnation` tells a name that was removed
-- and made anew from what it was. An owner is at work: a lease that ended with it still there has lapsed.
CREATE TABLE event_cursors (
    name        TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    incarnation TEXT    NOT NULL,
    pattern     TEXT    NOT NULL,
    position    BIGINT  NOT NULL CHECK (position >= 0),
    owner       TEXT,
    lease_until BIGINT  NOT NULL DEFAULT 0,
    leased_for  BIGINT  NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    lapses      INTEGER NOT NULL DEFAULT 0 CHECK (lapses >= 0),
    next_try_at BIGINT  NOT NULL DEFAULT 0,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE parked_events (
    name      TEXT    COLLATE "C" NOT NULL,
    seq       BIGINT  NOT NULL,
    error     TEXT    NOT NULL,
    tries     INTEGER NOT NULL,
    parked_at BIGINT  NOT NULL,
    replay    INTEGER NOT NULL DEFAULT 0 CHECK (replay IN (0, 1)),
    PRIMARY KEY (name, seq)
);

-- One row: the key that signs the log's checkpoints. It stands sealed, as the signing keys do, and is never retired.
CREATE TABLE log_keys (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    kid        TEXT   NOT NULL,
    public_jwk TEXT   NOT NULL,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);

-- The keys that entries are sealed with. No row: nothing is encrypted. The greatest number seals; those below it are
-- retired once no entry is under them. 0 is no key but plaintext, which a store still holds while it is being encrypted.
CREATE TABLE content_keys (
    number     BIGINT PRIMARY KEY CHECK (number >= 0),
    sealed     BYTEA,
    created_at BIGINT NOT NULL,
    CHECK ((number = 0) = (sealed IS NULL))
);

-- The numbers of a session's entries are 1 to sessions.entry_count, without a gap; an id never comes again. `content`
-- is plain text, `data` what else a message holds, as JSON; what PostgreSQL takes for no text stands escaped in both.
-- `sealed` is both of them, encrypted.
CREATE TABLE entries (
    id            BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY,
    session_id    TEXT    COLLATE "C" NOT NULL,
    seq           BIGINT  NOT NULL CHECK (seq >= 1),
    at            BIGINT  NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind IN ('message', 'prompt', 'system', 'command', 'warn', 'alert',
                                                   'mode_change')),
    role          TEXT    CHECK (role IN ('user', 'assistant', 'tool', 'system')),
    content       TEXT    NOT NULL,
    data          TEXT,
    auto_injected INTEGER NOT NULL CHECK (auto_injected IN (0, 1)),
    tools_indexed INTEGER NOT NULL CHECK (tools_indexed IN (0, 1)),
    content_key   BIGINT  NOT NULL DEFAULT 0,
    sealed        BYTEA,
    PRIMARY KEY (session_id, seq),
    CHECK ((sealed IS NULL) = (content_key = 0) AND (sealed IS NULL OR (content = '' AND data IS NULL))),
    CHECK (kind <> 'message' OR role IS NOT NULL)
);

CREATE INDEX entries_id ON entries (id);

-- Named statements keep it. `document` holds the words of both texts, taken apart by
-- the library and not by the server, whose notion of a letter hangs on its locale.
CREATE TABLE entry_words (
    entry_id BIGINT   NOT NULL,
    part     INTEGER  NOT NULL,
    words    TEXT     NOT NULL,
    tools    TEXT     NOT NULL,
    document TSVECTOR NOT NULL,
    PRIMARY KEY (entry_id, part)
);

CREATE INDEX entry_words_document ON entry_words USING gin (document);

-- One row. The index is written behind the entries: those with an id up to `until` have their words in it.
CREATE TABLE entry_index (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    until BIGINT NOT NULL
);

INSERT INTO entry_index (id, until) VALUES (1, 0);

CREATE TABLE import_receipts (
    session_id TEXT   COLLATE "C" NOT NULL,
    digest     BYTEA  NOT NULL CHECK (length(digest) = 32),
    count      BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (session_id, digest)
);

CREATE TABLE milestones (
    workspace_id TEXT   COLLATE "C" NOT NULL,
    key          TEXT   COLLATE "C" NOT NULL,
    value        TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, key)
);

-- Who waits for a session's turn, in the order in which they came, and who holds it: the first, once it began. A
-- ticket whose lease has ended counts for nothing. Numbers only grow, so that a later turn can be told by its own.
CREATE TABLE turns (
    number      BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id  TEXT   COLLATE "C" NOT NULL,
    turn_id     TEXT   NOT NULL,
    began_at    BIGINT,
    lease_until BIGINT NOT NULL,
    leased_for  BIGINT NOT NULL CHECK (leased_for > 0)
);

CREATE INDEX turns_session ON turns (session_id);

-- The text of an event, or NULL where it is no JSON that can be read. What a text may not hold here is another
-- character: nothing that is asked for has it. It is not for parallel plans, for what catches an error begins a
-- subtransaction, which these may not.
CREATE FUNCTION as_json(body TEXT) RETURNS JSONB LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE AS $$
BEGIN
    RETURN CAST(replace(body, '\u0000', '\ufffd') AS jsonb);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- A pattern of event types as LIKE takes it.
CREATE FUNCTION as_like(pattern TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT replace(replace(replace(pattern, '_', '\_'), '*', '%'), '?', '_')
$$;

-- Take the write lock beside others, then names, then the tree that a session stands in, so that nobody else gives such
-- a name away or touches the tree; and return what such a write begins with. Names, a JSON array, are locked in one
-- order, so that nobody waits for each other. No number of a transaction is given out for any of this. One function, for
-- its plans are kept; each of its statements sees what was committed by the time it had its lock.
CREATE FUNCTION begin_beside(
    names JSON, session TEXT, OUT schema_version BIGINT, OUT revision BIGINT, OUT latest BIGINT
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    write_lock CONSTANT BIGINT := current_setting('clawguard.write_lock');
BEGIN
    PERFORM pg_advisory_xact_lock_shared(write_lock);
    IF names IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(number) FROM (
            SELECT hashtextextended(value, write_lock) AS number FROM json_array_elements_text(names) ORDER BY number
        ) AS numbers;
    END IF;
    IF session IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(s.root_id, write_lock)) FROM sessions s WHERE s.id = session;
    END IF;
    SELECT m.schema_version, m.revision INTO begin_beside.schema_version, begin_beside.revision
    FROM meta m WHERE m.id = 1;
    latest := greatest(
        (SELECT max(at) FROM (SELECT e.at FROM events e ORDER BY e.seq DESC LIMIT 16) AS linked),
        (SELECT max(at) FROM (SELECT u.at FROM unlinked_events u ORDER BY u.id DESC LIMIT 16) AS unlinked));
END $$;

-- Link the events that wait for it to the chain, at most so many, and return how many they were. One at a time: who
-- comes meanwhile waits, and then sees what was linked.
CREATE FUNCTION link_events(most BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    place  BIGINT;
    head   BYTEA;
    event  RECORD;
    linked BIGINT := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(CAST(current_setting('clawguard.write_lock') AS bigint) # 1);
    PERFORM 1 FROM unlinked_events ORDER BY id LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT e.seq, e.hash INTO place, head FROM events e ORDER BY e.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        place := 0;
        SELECT sha256(convert_to(E'clawguard log 1\n' || issuer, 'UTF8')) INTO head FROM meta WHERE id = 1;
    END IF;
    FOR event IN
        WITH taken AS (
            DELETE FROM unlinked_events u WHERE u.id <= coalesce(
                (SELECT last.id FROM unlinked_events last ORDER BY last.id OFFSET most - 1 LIMIT 1),
                (SELECT max(last.id) FROM unlinked_events last))
            RETURNING u.*
        )
        SELECT * FROM taken ORDER BY id
    LOOP
        place := place + 1;
        head := sha256(head || convert_to(event.body, 'UTF8'));
        INSERT INTO events (seq, hash, type, at, session_id, cause_id, body)
        VALUES (place, head, event.type, event.at, event.session_id, event.cause_id, event.body);
        linked := linked + 1;
    END LOOP;
    RETURN linked;
END $$;
