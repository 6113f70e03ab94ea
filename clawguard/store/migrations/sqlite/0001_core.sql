-- The core: sessions, the event log, the signing keys, and what is known of the database itself.
-- Times are microseconds UTC, durations microseconds. Closed sets are checked here as well as in Python.

CREATE TABLE migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- One row. `key_revision` moves with every change of a key and with every migration.
CREATE TABLE meta (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    issuer         TEXT    NOT NULL,
    audience       TEXT    NOT NULL,
    key_revision   INTEGER NOT NULL,
    barrier        INTEGER NOT NULL DEFAULT 0,
    founded_at     INTEGER NOT NULL
) STRICT;

-- Private keys stand sealed; the key-encryption key is never in the database.
CREATE TABLE signing_keys (
    kid          TEXT    PRIMARY KEY,
    algorithm    TEXT    NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA', 'RS256')),
    state        TEXT    NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'retired', 'compromised')),
    public_jwk   TEXT    NOT NULL,
    sealed       BLOB,
    created_at   INTEGER NOT NULL,
    activated_at INTEGER,
    verify_until INTEGER,
    ends_pending INTEGER NOT NULL DEFAULT 0 CHECK (ends_pending IN (0, 1))
) STRICT;

CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state = 'active';

-- Ended rows stay as tombstones until a purge. `parent_id` carries no foreign key: an index for it would
-- have to hold every root too; delegate and end keep the tree whole, and a purge takes children first.
CREATE TABLE sessions (
    id                  TEXT    NOT NULL PRIMARY KEY,
    version             INTEGER NOT NULL,
    generation          INTEGER NOT NULL CHECK (generation >= 1),
    key                 TEXT,
    request_id          TEXT,
    agent_id            TEXT    NOT NULL,
    agent_alias         TEXT,
    subject             TEXT    NOT NULL,
    workspace_id        TEXT    NOT NULL,
    audience            TEXT    NOT NULL,
    role                TEXT,
    scopes              TEXT    NOT NULL,
    task_type           TEXT,
    actors              TEXT    NOT NULL,
    parent_id           TEXT,
    root_id             TEXT    NOT NULL,
    depth               INTEGER NOT NULL CHECK (depth BETWEEN 0 AND 8),
    delegable           INTEGER NOT NULL CHECK (delegable IN (0, 1)),
    forked_from         TEXT,
    name                TEXT,
    metadata            TEXT    NOT NULL,
    engine_url          TEXT,
    engine_version      TEXT,
    channel_id          TEXT,
    room_id             TEXT,
    sender_id           TEXT,
    state               TEXT    NOT NULL CHECK (state IN ('idle', 'running', 'error')),
    turn_id             TEXT,
    turn_started_at     INTEGER,
    kid                 TEXT    NOT NULL,
    jti                 TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    issued_at           INTEGER NOT NULL,
    token_expires_at    INTEGER NOT NULL,
    ttl                 INTEGER NOT NULL CHECK (ttl > 0),
    expires_at          INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    idle_timeout        INTEGER CHECK (idle_timeout > 0),
    last_activity       INTEGER NOT NULL,
    last_source         TEXT,
    ended_at            INTEGER,
    cause               TEXT CHECK (cause IN ('ttl', 'idle', 'uses', 'finished', 'revoked', 'invalidated',
                                              'parent', 'agent', 'reuse', 'key', 'limit')),
    reason              TEXT CHECK (length(reason) <= 255),
    ended_by            TEXT,
    due_at              INTEGER NOT NULL GENERATED ALWAYS AS
                        (min(expires_at, absolute_expires_at,
                             ifnull(last_activity + idle_timeout, expires_at))) STORED,
    due_cause           TEXT    NOT NULL GENERATED ALWAYS AS
                        (CASE WHEN last_activity + idle_timeout < min(expires_at, absolute_expires_at)
                              THEN 'idle' ELSE 'ttl' END) VIRTUAL,
    CHECK ((ended_at IS NULL) = (cause IS NULL)),
    CHECK (token_expires_at <= expires_at),
    CHECK ((parent_id IS NULL) = (depth = 0))
) STRICT;

CREATE INDEX sessions_live_due ON sessions (due_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_live_agent ON sessions (workspace_id, agent_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_parent ON sessions (parent_id, ended_at) WHERE parent_id IS NOT NULL;
CREATE INDEX sessions_live_running ON sessions (workspace_id, turn_started_at)
    WHERE ended_at IS NULL AND state = 'running';
CREATE UNIQUE INDEX sessions_live_key ON sessions (workspace_id, key) WHERE ended_at IS NULL AND key IS NOT NULL;
CREATE UNIQUE INDEX sessions_request ON sessions (workspace_id, request_id) WHERE request_id IS NOT NULL;

-- `body` is the RFC 8785 text that is hashed; the columns repeat parts of it for searching, and `verify`
-- compares them with it. They cannot be generated: with trusted_schema=OFF a schema may not call json_extract.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    type       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    session_id TEXT,
    cause_id   TEXT,
    body       TEXT    NOT NULL
) STRICT;

CREATE INDEX events_session ON events (session_id, seq) WHERE session_id IS NOT NULL;
CREATE INDEX events_cause ON events (cause_id, seq) WHERE cause_id IS NOT NULL;
