-- Authority: the policy in force, agents that are disabled, grants, counted uses.

ALTER TABLE meta RENAME COLUMN key_revision TO revision;
ALTER TABLE meta ADD COLUMN policy TEXT;

-- Every policy that was ever in force, by the digest that events name; the last one put in force is meta.policy.
CREATE TABLE policies (
    digest   TEXT    NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    body     TEXT    NOT NULL,
    first_at INTEGER NOT NULL
) STRICT;

CREATE TABLE disabled_agents (
    workspace_id TEXT    NOT NULL,
    agent_id     TEXT    NOT NULL,
    disabled_at  INTEGER NOT NULL,
    reason       TEXT    CHECK (length(reason) <= 255),
    disabled_by  TEXT    NOT NULL,
    PRIMARY KEY (workspace_id, agent_id)
) STRICT;

-- `granted`: the session or one above it has a grant, so that its authority hangs on the policy of the moment.
ALTER TABLE sessions ADD COLUMN grant_name TEXT;
ALTER TABLE sessions ADD COLUMN granted INTEGER NOT NULL DEFAULT 0 CHECK (granted IN (0, 1));
ALTER TABLE sessions ADD COLUMN uses_left INTEGER CHECK (uses_left >= 0);

-- A session with `refresh_idle` has a family of refresh tokens and ends so long after it was last redeemed.
ALTER TABLE sessions ADD COLUMN refresh_idle INTEGER CHECK (refresh_idle > 0);

-- `digest` is SHA-256 of the secret. `sealed` is the successor, under this token's secret: for a moment, a lost
-- answer may be asked for again.
CREATE TABLE refresh_tokens (
    session_id  TEXT    NOT NULL,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    created_at  INTEGER NOT NULL,
    spent_at    INTEGER,
    grace_until INTEGER,
    sealed      BLOB,
    PRIMARY KEY (session_id, digest),
    CHECK ((spent_at IS NULL) = (grace_until IS NULL)),
    CHECK (sealed IS NULL OR spent_at IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_sealed ON refresh_tokens (session_id) WHERE sealed IS NOT NULL;
