-- History: what was said in a session, the words it is found by, imports that were made, and milestones.

-- The numbers of a session's entries are 1 to sessions.entry_count, without a gap; an id never comes again.
-- `content` is plain text, `data` what else a message holds, as JSON.
CREATE TABLE entries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id    TEXT    NOT NULL,
    seq           INTEGER NOT NULL CHECK (seq >= 1),
    at            INTEGER NOT NULL,
    kind          TEXT    NOT NULL CHECK (kind IN ('message', 'prompt', 'system', 'command', 'warn', 'alert',
                                                   'mode_change')),
    role          TEXT    CHECK (role IN ('user', 'assistant', 'tool', 'system')),
    content       TEXT    NOT NULL,
    data          TEXT,
    auto_injected INTEGER NOT NULL CHECK (auto_injected IN (0, 1)),
    tools_indexed INTEGER NOT NULL CHECK (tools_indexed IN (0, 1)),
    CHECK (kind <> 'message' OR role IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX entries_session ON entries (session_id, seq);

ALTER TABLE sessions ADD COLUMN entry_count INTEGER NOT NULL DEFAULT 0 CHECK (entry_count >= 0);

-- Only sessions that have a conversation: a create pays nothing for it.
CREATE INDEX sessions_conversations ON sessions (workspace_id, last_activity, id) WHERE entry_count > 0;

-- Named statements keep it, in the transaction of the entry whose id is the row's; no trigger may touch it.
CREATE VIRTUAL TABLE entry_words USING fts5 (words, tools, tokenize = 'unicode61 remove_diacritics 2');

CREATE TABLE import_receipts (
    session_id TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    count      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (session_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE milestones (
    workspace_id TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    value        TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key)
) STRICT;
