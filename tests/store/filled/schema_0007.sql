PRAGMA application_id = 1129070935;
PRAGMA user_version = 7;
BEGIN TRANSACTION;
CREATE TABLE disabled_agents (
    workspace_id TEXT    NOT NULL,
    agent_id     TEXT    NOT NULL,
    disabled_at  INTEGER NOT NULL,
    reason       TEXT    CHECK (length(reason) <= 255),
    disabled_by  TEXT    NOT NULL,
    PRIMARY KEY (workspace_id, agent_id)
) STRICT;
INSERT INTO "disabled_agents" VALUES('default','rogue',1790000000000000,'sends mail','host');
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
INSERT INTO "entries" VALUES(1,'01a0c450-6c00-7000-84d4-13fcea680a44',1,1790000000000000,'message','user','When do we meet in 東京?',NULL,0,0);
INSERT INTO "entries" VALUES(2,'01a0c450-6c00-7000-84d4-13fcea680a44',2,1790000000000000,'message','assistant','','{"tool_calls":[{"name":"find","arguments":"{}"}]}',0,1);
INSERT INTO "entries" VALUES(3,'01a0c450-6c00-7000-84d4-13fcea680a44',3,1767225600000000,'message','user','carried in',NULL,0,0);
INSERT INTO "entries" VALUES(4,'01a0c450-6c00-7000-84d4-13fcea680a44',4,1790000000000000,'warn',NULL,'the disk is nearly full',NULL,1,0);
CREATE VIRTUAL TABLE entry_words USING fts5 (words, tools, tokenize = 'unicode61 remove_diacritics 2');
INSERT INTO "entry_words" (rowid, words, tools) VALUES(1,'When do we meet in ​東​​京​?','');
INSERT INTO "entry_words" (rowid, words, tools) VALUES(2,'','{"tool_calls":[{"name":"find","arguments":"{}"}]}');
INSERT INTO "entry_words" (rowid, words, tools) VALUES(3,'carried in','');
INSERT INTO "entry_words" (rowid, words, tools) VALUES(4,'the disk is nearly full','');
CREATE TABLE event_cursors (
    name        TEXT    NOT NULL PRIMARY KEY,
    incarnation TEXT    NOT NULL,
    pattern     TEXT    NOT NULL,
    position    INTEGER NOT NULL CHECK (position >= 0),
    owner       TEXT,
    lease_until INTEGER NOT NULL DEFAULT 0,
    leased_for  INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    lapses      INTEGER NOT NULL DEFAULT 0 CHECK (lapses >= 0),
    next_try_at INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL
) STRICT;
INSERT INTO "event_cursors" VALUES('siem','01a0c450-6c00-7000-b2d9-1cea622246a7','session.*',12,NULL,0,0,0,0,0,1790000000000000);
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    type       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    session_id TEXT,
    cause_id   TEXT,
    body       TEXT    NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,X'DF2CD82D06AE157678368D29EFF8E2B07CE5FBA1C2B48734ECFC8845B9EEFE0A','session.created',1790000000000000,'01a0c450-6c00-7000-a5dd-0341b5bbcabb',NULL,'{"agent_id":"old","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"scopes":"docs:read"},"id":"01a0c450-6c00-7000-957d-2fb8a816ba1b","session_id":"01a0c450-6c00-7000-a5dd-0341b5bbcabb","subject":"agent:old","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(2,X'46D0938D17542D3329B319A5E7B7FDCDC38881D8FB6D5A516515C3933F084F4F','key.rotated',1790000000000000,NULL,'01a0c450-6c00-7000-95e8-52718aaac431','{"actor":"host","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-95e8-52718aaac431","data":{"kid":"UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I","previous":"5FlvvfpPNTQKpRKxf6KSgYALuwc5Zt72RyKeec5EpPk"},"id":"01a0c450-6c00-7000-af5b-e82c0db2245e","type":"key.rotated"}');
INSERT INTO "events" VALUES(3,X'F02991BD68DB3D14BF59DC7641AE5CBFDFC17A76B6A2C4DACAAD7100BBC6B23C','policy.changed',1790000000000000,NULL,NULL,'{"actor":"host","at":1790000000000000,"data":{"digest":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d"},"id":"01a0c450-6c00-7000-8c20-788b9775fd77","type":"policy.changed"}');
INSERT INTO "events" VALUES(4,X'A26D3F87E5630FBBFA816813B3557940AEB3487DF5E4396062AC82AE009006E9','session.created',1790000000000000,'01a0c450-6c00-7000-84d4-13fcea680a44',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","role":"lead","scopes":"docs:read docs:write"},"id":"01a0c450-6c00-7000-b1d5-64fc2d2e4c6f","session_id":"01a0c450-6c00-7000-84d4-13fcea680a44","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(5,X'72CA781D25332CF5D9D5DD0F848D707D4B6D356342CFEFCC0F70558E1737DB24','session.created',1790000000000000,'01a0c450-6c00-7001-ad7e-1f220738d86a',NULL,'{"agent_id":"helper","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"parent_id":"01a0c450-6c00-7000-84d4-13fcea680a44","policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","role":"lead","scopes":"docs:read"},"id":"01a0c450-6c00-7000-9f1a-48478b526c2a","session_id":"01a0c450-6c00-7001-ad7e-1f220738d86a","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(6,X'B1B18FF68D396376FBA317FAC734C90217BB55B954490D3BC689898C1BB1DEF9','session.created',1790000000000000,'01a0c450-6c00-7000-8788-89b80d0579a7',NULL,'{"agent_id":"counted","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read","uses":2},"id":"01a0c450-6c00-7000-9f5f-57f4107e08dd","session_id":"01a0c450-6c00-7000-8788-89b80d0579a7","subject":"agent:counted","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(7,X'5FFF01D0FAA6A4A1B879535560F7F4BE63235055EEDC39340E1D0D352E4ACD34','session.created',1790000000000000,'01a0c450-6c00-7000-b99d-f6e0016d6956',NULL,'{"agent_id":"gone","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read"},"id":"01a0c450-6c00-7000-ad31-94ff5c7ef1f7","session_id":"01a0c450-6c00-7000-b99d-f6e0016d6956","subject":"agent:gone","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(8,X'B892A1341E124DC637EC4E401C095247DDDC396219999A63F80919499F6EFFE8','session.expired',1790000000000000,'01a0c450-6c00-7000-b99d-f6e0016d6956','01a0c450-6c00-7000-af2c-92a18ca3cb36','{"actor":"host","agent_id":"gone","at":1790000000000000,"cause":"revoked","cause_id":"01a0c450-6c00-7000-af2c-92a18ca3cb36","id":"01a0c450-6c00-7000-89b6-bb75f466bbb4","reason":"leaked","session_id":"01a0c450-6c00-7000-b99d-f6e0016d6956","subject":"agent:gone","type":"session.expired","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(9,X'40AF4C8539207E5C880062FA632F3B4BD773BBC4A07C6B5CAD08B529C3D62B5C','session.created',1790000000000000,'01a0c450-6c00-7000-a519-b9cd21341f35',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790003600000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read"},"id":"01a0c450-6c00-7000-adf0-04cd920f8864","session_id":"01a0c450-6c00-7000-a519-b9cd21341f35","subject":"agent:family","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(10,X'DA439368C296E5CA973419B21A4A084725E05DB46E76EFF99FB9E13A3F719525','session.refreshed',1790000000000000,'01a0c450-6c00-7000-a519-b9cd21341f35',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"expires_at":1790003600000000,"generation":2},"id":"01a0c450-6c00-7000-a8d6-4c2558651ec0","session_id":"01a0c450-6c00-7000-a519-b9cd21341f35","subject":"agent:family","type":"session.refreshed","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(11,X'4FA3E8DCAA8E5E8E04A44A8D9168922F29D9018155042064892F6EEAB3B901A2','agent.disabled',1790000000000000,NULL,'01a0c450-6c00-7000-aa64-02df1b964ba1','{"actor":"host","agent_id":"rogue","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-aa64-02df1b964ba1","id":"01a0c450-6c00-7000-bdc4-e2864ffbc0d8","reason":"sends mail","type":"agent.disabled","workspace_id":"default"}');
INSERT INTO "events" VALUES(12,X'84F12752AF5786C0AEEAD89EFE33462C4D42E876656D3E565631B6B59E5AC0E9','history.imported',1790000000000000,'01a0c450-6c00-7000-84d4-13fcea680a44',NULL,'{"actor":"host","agent_id":"planner","at":1790000000000000,"data":{"count":1},"id":"01a0c450-6c00-7000-81cc-9dd0a3ce80e3","session_id":"01a0c450-6c00-7000-84d4-13fcea680a44","subject":"user:ana","type":"history.imported","workspace_id":"default"}');
INSERT INTO "events" VALUES(13,X'8F76DEA33D3D4F50CB18A84A0B7192290C1FAB772AE7DF5C5B244CEF1A032D33','session.updated',1790000000000000,'01a0c450-6c00-7000-84d4-13fcea680a44',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"fields":["state","turn_id","turn_started_at"]},"id":"01a0c450-6c00-7000-9dc3-592321b7ef92","session_id":"01a0c450-6c00-7000-84d4-13fcea680a44","subject":"user:ana","type":"session.updated","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(14,X'F20A61671E9C67A21615273A64B02B736EBEECDFCFB9DFEC3835A7706E545D01','session.updated',1790000000000000,'01a0c450-6c00-7000-84d4-13fcea680a44',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"fields":["state"]},"id":"01a0c450-6c00-7000-80a7-c17ff0e721d9","session_id":"01a0c450-6c00-7000-84d4-13fcea680a44","subject":"user:ana","type":"session.updated","version":3,"workspace_id":"default"}');
CREATE TABLE import_receipts (
    session_id TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    count      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (session_id, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "import_receipts" VALUES('01a0c450-6c00-7000-84d4-13fcea680a44',X'4328B1403AD5F6F4DF7457CC40FD1C6B440AE0234D510D7CBF7067CE7CD42A96',1,1790000000000000);
CREATE TABLE log_keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    kid        TEXT    NOT NULL,
    public_jwk TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "log_keys" VALUES(1,'eunWYiNQaGNC_gU8dECsoagxYpQ_17Yn-HrrA733RIo','{"alg": "EdDSA", "crv": "Ed25519", "kid": "eunWYiNQaGNC_gU8dECsoagxYpQ_17Yn-HrrA733RIo", "kty": "OKP", "use": "sig", "x": "5AImXe_nIrwCppsDhmERapOPDsPF4Jof80-K4EJPcSE"}',X'012D70543AFE3EE021FE31041B203B56FD837926F6FB7EFB55B5AD0619CC25CD8BFD40ED54E7203ED5AD960E015DAD3DEDB2B2703F225D21A447DD364D2087383D1FB66B3CA02E1B28D4510290',1790000000000000);
CREATE TABLE meta (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    issuer         TEXT    NOT NULL,
    audience       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    barrier        INTEGER NOT NULL DEFAULT 0,
    founded_at     INTEGER NOT NULL
, policy TEXT, proofs_forgotten INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "meta" VALUES(1,7,'urn:clawguard:01a0c450-6c00-7000-b1b0-f94bdcd2224c','clawguard',3,0,1790000000000000,'a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d',0);
CREATE TABLE migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;
INSERT INTO "migrations" VALUES(1,'core','a293763bc97f980c3535338c5faaae223a526325b47a5f4e3a837509903ffe4a',1790000000000000);
INSERT INTO "migrations" VALUES(2,'authority','73868c5fc34ae6bdc9c78c96256198f824aad605d615d8bb4086dcb37f4c51a6',1790000000000000);
INSERT INTO "migrations" VALUES(3,'confirmation','590e00297244d1820f3e26a50bd459015350c4a3e7bfc38d975be2b894da5514',1790000000000000);
INSERT INTO "migrations" VALUES(4,'subscribers','17eb58ce942989172455d156682deace4e86d3dc5986c8d58afff9d7759a71b9',1790000000000000);
INSERT INTO "migrations" VALUES(5,'log_key','c95e972240fb56fcb7952be185f033fb5eb843b84fbc1be025f58a6c180c2e8f',1790000000000000);
INSERT INTO "migrations" VALUES(6,'history','ee8ad2c4b9b8dcc26badbba2610aca9e9414f0de24b697818b96ad7483e0a3bd',1790000000000000);
INSERT INTO "migrations" VALUES(7,'turns','a1fffbfdd01eb7ea92288e671b982379fa49d37cbbffeb5e37d61bf465c2afee',1790000000000000);
CREATE TABLE milestones (
    workspace_id TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    value        TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key)
) STRICT;
INSERT INTO "milestones" VALUES('default','welcome','shown',1790000000000000);
CREATE TABLE parked_events (
    name      TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    error     TEXT    NOT NULL,
    tries     INTEGER NOT NULL,
    parked_at INTEGER NOT NULL,
    replay    INTEGER NOT NULL DEFAULT 0 CHECK (replay IN (0, 1)),
    PRIMARY KEY (name, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
    digest   TEXT    NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    body     TEXT    NOT NULL,
    first_at INTEGER NOT NULL
) STRICT;
INSERT INTO "policies" VALUES('a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d','{"roles":{"lead":{"scopes":["docs:*"]}}}',1790000000000000);
CREATE TABLE proof_ids (
    digest BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-a519-b9cd21341f35',X'535C8873B16E7E267F43D74A2DE71A459FD4D258665C6FA847E7528FF1D7FF71',1790000000000000,1790000000000000,1790000010000000,X'45F41F86331745AD21CCEA7DF6F8DAAE436922FCF91836D547468F71CF97C2A4EB10C0E8EFA1415F0E30EE154357EC51F0D03F47670B94CF8D57E647');
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-a519-b9cd21341f35',X'813D11828D7F733CBBD17ADBE0C3BB3E392278738D4B289CD9A960B00492414F',1790000000000000,NULL,NULL,NULL);
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
                              THEN 'idle' ELSE 'ttl' END) VIRTUAL, grant_name TEXT, granted INTEGER NOT NULL DEFAULT 0 CHECK (granted IN (0, 1)), uses_left INTEGER CHECK (uses_left >= 0), refresh_idle INTEGER CHECK (refresh_idle > 0), cnf TEXT, entry_count INTEGER NOT NULL DEFAULT 0 CHECK (entry_count >= 0),
    CHECK ((ended_at IS NULL) = (cause IS NULL)),
    CHECK (token_expires_at <= expires_at),
    CHECK ((parent_id IS NULL) = (depth = 0))
) STRICT;
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-a5dd-0341b5bbcabb',1,1,NULL,NULL,'old',NULL,'agent:old','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-a5dd-0341b5bbcabb',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'5FlvvfpPNTQKpRKxf6KSgYALuwc5Zt72RyKeec5EpPk','01a0c450-6c00-7000-89cd-bca3ae3636a7',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-84d4-13fcea680a44',3,1,'k',NULL,'planner',NULL,'user:ana','default','clawguard','lead','docs:read docs:write',NULL,'[]',NULL,'01a0c450-6c00-7000-84d4-13fcea680a44',0,1,NULL,NULL,'{"a":1}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I','01a0c450-6c00-7000-9664-fe4ae6b99adc',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,4);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7001-ad7e-1f220738d86a',1,1,NULL,NULL,'helper',NULL,'user:ana','default','clawguard','lead','docs:read',NULL,'[["planner","01a0c450-6c00-7000-84d4-13fcea680a44"]]','01a0c450-6c00-7000-84d4-13fcea680a44','01a0c450-6c00-7000-84d4-13fcea680a44',1,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I','01a0c450-6c00-7001-b5b7-37974364feb2',1790000000000001,1790000000000001,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000001,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-8788-89b80d0579a7',1,1,NULL,NULL,'counted',NULL,'agent:counted','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-8788-89b80d0579a7',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I','01a0c450-6c00-7000-9168-46fd5a2bfed4',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,2,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-b99d-f6e0016d6956',2,1,NULL,NULL,'gone',NULL,'agent:gone','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-b99d-f6e0016d6956',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I','01a0c450-6c00-7000-b713-ec128ee22378',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,1790000000000000,'revoked','leaked','host',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-a519-b9cd21341f35',2,2,NULL,NULL,'family',NULL,'agent:family','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-a519-b9cd21341f35',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I','01a0c450-6c00-7000-a2d6-0559f5348859',1790000000000000,1790000000000000,1790003600000000,3600000000,1790003600000000,1790086400000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,3600000000,NULL,0);
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
INSERT INTO "signing_keys" VALUES('5FlvvfpPNTQKpRKxf6KSgYALuwc5Zt72RyKeec5EpPk','ES256','retiring','{"alg": "ES256", "crv": "P-256", "kid": "5FlvvfpPNTQKpRKxf6KSgYALuwc5Zt72RyKeec5EpPk", "kty": "EC", "use": "sig", "x": "5lMUWVQnnXBN_bO_xsvs5PcMHVHVmsvqV8V383n0zqw", "y": "---LD32i2YguQEcmJlQ-mhrXDDc6nDoNYQSRi-oQviw"}',NULL,1790000000000000,1790000000000000,1790864000000000,0);
INSERT INTO "signing_keys" VALUES('UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I','ES256','active','{"alg": "ES256", "crv": "P-256", "kid": "UfHqguS7mTiRCAuQ-icKBHFBhUD3k2kvIGAFc0AkX3I", "kty": "EC", "use": "sig", "x": "8tQ5NYX32ZgsyYwrNc1rnw65TWfHdWLBLUJSJMja5QY", "y": "OkRKPon5Ltlu_GHuyCHCoqBIBb9PwhPV3xatFnstuvE"}',X'019718BC13352931AB7E0111CAD21FC6C2BAD5DDE42528B01B961584E1DC4F9EF24AFD8250D3B61C3F2F2FB7D23E8A0F6DDC5ECCA70A25894BE2D2C71967A5A721025694809700B80CBF338ACBF9E01BE35FED5B5592404BDE0D88705DED6F3869ED2229B1E86A11161D71C7D496478D4F323ABFA0B488F3EEA8011BAC7A955DD9397210F24F952BFB8F6F7594BD49F918299D66619CB5D08B4744EA1891193F0D2818A5D694A8',1790000000000001,1790000000000000,NULL,0);
INSERT INTO "signing_keys" VALUES('kORwuLkOHMNMqMe_cPehGM80mciXwwMCJDFINtqrjnQ','ES256','next','{"alg": "ES256", "crv": "P-256", "kid": "kORwuLkOHMNMqMe_cPehGM80mciXwwMCJDFINtqrjnQ", "kty": "EC", "use": "sig", "x": "HbqTfknoeR6SQYS4-HEuYsXfgwq9o7WHjy3nr7Ru5lE", "y": "pZqeOb-s3tbEViumkOitqOaIoqXGZI3Vmw1_R1H1hi4"}',X'010BF30301F92C8C95B59E0ED445DEF7BDF4A7CA4B96EC246C4DA47BA539C6D7073DF80099F34E928860623D277953FF50A1A0509E4D058979288E50DB5EAB3618AFB2750A819DBF60528F0C196BAB765DF4A843AA5E05EDB680C63C72D7940EC66088CBD320FA1413939F79E7090F9DC0EEAB1D9786E1C7FFD2B915519B79322C0138FAC801B19DE839D5BA7CFF81CCB83DC0CDF7165607DC0B29499DC79394DFF7490F9150F2',1790000000000001,NULL,NULL,0);
CREATE TABLE turns (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id  TEXT    NOT NULL,
    turn_id     TEXT    NOT NULL,
    began_at    INTEGER,
    lease_until INTEGER NOT NULL,
    leased_for  INTEGER NOT NULL CHECK (leased_for > 0)
) STRICT;
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state = 'active';
CREATE INDEX sessions_live_due ON sessions (due_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_live_agent ON sessions (workspace_id, agent_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_parent ON sessions (parent_id, ended_at) WHERE parent_id IS NOT NULL;
CREATE INDEX sessions_live_running ON sessions (workspace_id, turn_started_at)
    WHERE ended_at IS NULL AND state = 'running';
CREATE UNIQUE INDEX sessions_live_key ON sessions (workspace_id, key) WHERE ended_at IS NULL AND key IS NOT NULL;
CREATE UNIQUE INDEX sessions_request ON sessions (workspace_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX events_session ON events (session_id, seq) WHERE session_id IS NOT NULL;
CREATE INDEX events_cause ON events (cause_id, seq) WHERE cause_id IS NOT NULL;
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (session_id) WHERE sealed IS NOT NULL;
CREATE INDEX proof_ids_until ON proof_ids (until);
CREATE INDEX events_archived ON events (seq) WHERE type = 'log.archived';
CREATE UNIQUE INDEX entries_session ON entries (session_id, seq);
CREATE INDEX sessions_conversations ON sessions (workspace_id, last_activity, id) WHERE entry_count > 0;
CREATE INDEX turns_session ON turns (session_id);
COMMIT;
