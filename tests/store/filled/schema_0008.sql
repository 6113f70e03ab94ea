PRAGMA application_id = 1129070935;
PRAGMA user_version = 8;
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
INSERT INTO "entries" VALUES(1,'01a0c450-6c00-7000-9ccf-ccc35a560285',1,1790000000000000,'message','user','When do we meet in 東京?',NULL,0,0);
INSERT INTO "entries" VALUES(2,'01a0c450-6c00-7000-9ccf-ccc35a560285',2,1790000000000000,'message','assistant','','{"tool_calls":[{"name":"find","arguments":"{}"}]}',0,1);
INSERT INTO "entries" VALUES(3,'01a0c450-6c00-7000-9ccf-ccc35a560285',3,1767225600000000,'message','user','carried in',NULL,0,0);
INSERT INTO "entries" VALUES(4,'01a0c450-6c00-7000-9ccf-ccc35a560285',4,1790000000000000,'warn',NULL,'the disk is nearly full',NULL,1,0);
CREATE TABLE entry_index (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    until INTEGER NOT NULL
) STRICT;
INSERT INTO "entry_index" VALUES(1,0);
CREATE VIRTUAL TABLE entry_words USING fts5 (words, tools, tokenize = 'unicode61 remove_diacritics 2');
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
INSERT INTO "event_cursors" VALUES('siem','01a0c450-6c00-7000-9359-4fe215e98195','session.*',12,NULL,0,0,0,0,0,1790000000000000);
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    type       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    session_id TEXT,
    cause_id   TEXT,
    body       TEXT    NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,X'AD61BDABD3504FAE6AFEB9C2E33B4608719FA55BBBAD2577CAD5FD61EF989A39','session.created',1790000000000000,'01a0c450-6c00-7000-b482-7d42b2468d47',NULL,'{"agent_id":"old","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"scopes":"docs:read"},"id":"01a0c450-6c00-7000-b3b2-fff8d3c038e2","session_id":"01a0c450-6c00-7000-b482-7d42b2468d47","subject":"agent:old","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(2,X'026664287A6F65B9F10FD9FBD473A3D0888DEA8D89E55BB1E884C08F15D9C479','key.rotated',1790000000000000,NULL,'01a0c450-6c00-7000-9795-128124ec10d9','{"actor":"host","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-9795-128124ec10d9","data":{"kid":"AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8","previous":"O5Elv-xM7ft8mCK5akVxPDlOhALbWLO_r-1trFULGCg"},"id":"01a0c450-6c00-7000-9df6-57f89627fb11","type":"key.rotated"}');
INSERT INTO "events" VALUES(3,X'D7145540B74E3EDF42AC4A77737EEFE5D07E6D2DB97E51C6EEC7EEDC33CF9681','policy.changed',1790000000000000,NULL,NULL,'{"actor":"host","at":1790000000000000,"data":{"digest":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d"},"id":"01a0c450-6c00-7000-93a4-703cd18971b4","type":"policy.changed"}');
INSERT INTO "events" VALUES(4,X'A416A36ECB7E2F0103B06B79B7D35389D715AC4042FFD35A418A3DCFA0E02D0B','session.created',1790000000000000,'01a0c450-6c00-7000-9ccf-ccc35a560285',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","role":"lead","scopes":"docs:read docs:write"},"id":"01a0c450-6c00-7000-8114-4f7e35b0b706","session_id":"01a0c450-6c00-7000-9ccf-ccc35a560285","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(5,X'77063034FA60C92A7C3BBD8D8A75976EAE4DF72366990E426E0AA5CEA0A08D4E','session.created',1790000000000000,'01a0c450-6c00-7001-9a9e-9f569a143f38',NULL,'{"agent_id":"helper","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"parent_id":"01a0c450-6c00-7000-9ccf-ccc35a560285","policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","role":"lead","scopes":"docs:read"},"id":"01a0c450-6c00-7000-a90c-8cf26d3d6f3c","session_id":"01a0c450-6c00-7001-9a9e-9f569a143f38","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(6,X'99EBDF51F1885E41DA478ADD8B608E9D956816AC820546E314023FF8451416EF','session.created',1790000000000000,'01a0c450-6c00-7000-96b0-cc7d870c1864',NULL,'{"agent_id":"counted","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read","uses":2},"id":"01a0c450-6c00-7000-959f-1f22eb024cfb","session_id":"01a0c450-6c00-7000-96b0-cc7d870c1864","subject":"agent:counted","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(7,X'821E79ECF8D1E90F14E0F634A6D0EA95CDB0B7DF1B88AE634BE12FE7396E9E9E','session.created',1790000000000000,'01a0c450-6c00-7000-9718-25f63e3975f0',NULL,'{"agent_id":"gone","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read"},"id":"01a0c450-6c00-7000-b6a0-396b4e2871ef","session_id":"01a0c450-6c00-7000-9718-25f63e3975f0","subject":"agent:gone","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(8,X'7C45AD20021F35913549445BB8379A87B20660BF37C06CAB3B383B0CCCF4D4B2','session.expired',1790000000000000,'01a0c450-6c00-7000-9718-25f63e3975f0','01a0c450-6c00-7000-be1f-0e86dae1b557','{"actor":"host","agent_id":"gone","at":1790000000000000,"cause":"revoked","cause_id":"01a0c450-6c00-7000-be1f-0e86dae1b557","id":"01a0c450-6c00-7000-a197-c4e7d95a5ce6","reason":"leaked","session_id":"01a0c450-6c00-7000-9718-25f63e3975f0","subject":"agent:gone","type":"session.expired","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(9,X'609CA16BB1BCCC68F6673C28126F613F11323B062F50C0D14FB7B076F089104F','session.created',1790000000000000,'01a0c450-6c00-7000-9655-e1020ac676c1',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790003600000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read"},"id":"01a0c450-6c00-7000-8bbf-24d871334169","session_id":"01a0c450-6c00-7000-9655-e1020ac676c1","subject":"agent:family","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(10,X'F51F16F5D887AFC4306E54F7295F15CA7C6B7EC9C92278E17F6EDC79C66BCA7B','session.refreshed',1790000000000000,'01a0c450-6c00-7000-9655-e1020ac676c1',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"expires_at":1790003600000000,"generation":2},"id":"01a0c450-6c00-7000-929c-8c5b3cfafae6","session_id":"01a0c450-6c00-7000-9655-e1020ac676c1","subject":"agent:family","type":"session.refreshed","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(11,X'E171F60D4FB7AF2AF8FB076945BD1A1AC002289F891BC18C47715CD285476746','agent.disabled',1790000000000000,NULL,'01a0c450-6c00-7000-9cb2-7b51053c30fe','{"actor":"host","agent_id":"rogue","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-9cb2-7b51053c30fe","id":"01a0c450-6c00-7000-bc4a-390f17b00e9d","reason":"sends mail","type":"agent.disabled","workspace_id":"default"}');
INSERT INTO "events" VALUES(12,X'1F76C70D0540553E5FA720242DCC7926B9C6D6E8806E12AE8F494B904B70A16A','history.imported',1790000000000000,'01a0c450-6c00-7000-9ccf-ccc35a560285',NULL,'{"actor":"host","agent_id":"planner","at":1790000000000000,"data":{"count":1},"id":"01a0c450-6c00-7000-84c1-3121390bd121","session_id":"01a0c450-6c00-7000-9ccf-ccc35a560285","subject":"user:ana","type":"history.imported","workspace_id":"default"}');
INSERT INTO "events" VALUES(13,X'C8F866F53374D7DCDAEE5F0156A1DB53B36668E5AC41C2349E12B3214A5F8C69','session.updated',1790000000000000,'01a0c450-6c00-7000-9ccf-ccc35a560285',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"fields":["state","turn_id","turn_started_at"]},"id":"01a0c450-6c00-7000-a4db-a735c38df1df","session_id":"01a0c450-6c00-7000-9ccf-ccc35a560285","subject":"user:ana","type":"session.updated","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(14,X'9CD71BE272AAB14009ACFBE775A6F5BA320E9B6B44C24943BE060C504E71C4CC','session.updated',1790000000000000,'01a0c450-6c00-7000-9ccf-ccc35a560285',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"fields":["state"]},"id":"01a0c450-6c00-7000-92cc-3998d0831ecb","session_id":"01a0c450-6c00-7000-9ccf-ccc35a560285","subject":"user:ana","type":"session.updated","version":3,"workspace_id":"default"}');
CREATE TABLE import_receipts (
    session_id TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    count      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (session_id, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "import_receipts" VALUES('01a0c450-6c00-7000-9ccf-ccc35a560285',X'4328B1403AD5F6F4DF7457CC40FD1C6B440AE0234D510D7CBF7067CE7CD42A96',1,1790000000000000);
CREATE TABLE log_keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    kid        TEXT    NOT NULL,
    public_jwk TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "log_keys" VALUES(1,'PDujDldjUt3VLoxqUhy9am_cdNpYiuethOJRNo2_vSo','{"alg": "EdDSA", "crv": "Ed25519", "kid": "PDujDldjUt3VLoxqUhy9am_cdNpYiuethOJRNo2_vSo", "kty": "OKP", "use": "sig", "x": "-gE0U1VmG7WvowSqITSpXEneCzDEliifphHqdZJmjXI"}',X'01D444212B23C43A3D22E54CF56706E11214F297605F95DD15657D7C826A91686612A571E713DED52FC60E00224831F4789941CC05408F778E152F6E50E15DC7F37430EBB25D57DD542D0FF0F1',1790000000000000);
CREATE TABLE meta (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    issuer         TEXT    NOT NULL,
    audience       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    barrier        INTEGER NOT NULL DEFAULT 0,
    founded_at     INTEGER NOT NULL
, policy TEXT, proofs_forgotten INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "meta" VALUES(1,8,'urn:clawguard:01a0c450-6c00-7000-b64f-f62cb0c4da09','clawguard',3,0,1790000000000000,'a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d',0);
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
INSERT INTO "migrations" VALUES(8,'words_behind','bb6f029a0bbfb348985742961cc081f241bc2051ada66a940b3bf780675a03a8',1790000000000000);
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
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-9655-e1020ac676c1',X'9BC3F9E957790517AB93C1EBCA4E963DB60BC9B9A9050EA3B15FD574D8D1C17C',1790000000000000,1790000000000000,1790000010000000,X'4666D7B4C089CD1ACBBB65BEE52528DE815C8FFFA63595738E028E63B1A8D9AE9C7413AE85AC1154EAF27CF6E778922B6F3AAC97E3D0F664E2BEEB5F');
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-9655-e1020ac676c1',X'EF88B9D257C720BF8BBFF9B52ED2AD01ACA1C447450384C5BC5A2DF26E86FB0F',1790000000000000,NULL,NULL,NULL);
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
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-b482-7d42b2468d47',1,1,NULL,NULL,'old',NULL,'agent:old','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-b482-7d42b2468d47',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'O5Elv-xM7ft8mCK5akVxPDlOhALbWLO_r-1trFULGCg','01a0c450-6c00-7000-a85e-67b1604212ea',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-9ccf-ccc35a560285',3,1,'k',NULL,'planner',NULL,'user:ana','default','clawguard','lead','docs:read docs:write',NULL,'[]',NULL,'01a0c450-6c00-7000-9ccf-ccc35a560285',0,1,NULL,NULL,'{"a":1}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8','01a0c450-6c00-7000-afee-5d2ca0a474c5',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,4);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7001-9a9e-9f569a143f38',1,1,NULL,NULL,'helper',NULL,'user:ana','default','clawguard','lead','docs:read',NULL,'[["planner","01a0c450-6c00-7000-9ccf-ccc35a560285"]]','01a0c450-6c00-7000-9ccf-ccc35a560285','01a0c450-6c00-7000-9ccf-ccc35a560285',1,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8','01a0c450-6c00-7001-a427-305997899477',1790000000000001,1790000000000001,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000001,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-96b0-cc7d870c1864',1,1,NULL,NULL,'counted',NULL,'agent:counted','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-96b0-cc7d870c1864',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8','01a0c450-6c00-7000-b36f-1a11f480f1a1',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,2,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-9718-25f63e3975f0',2,1,NULL,NULL,'gone',NULL,'agent:gone','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-9718-25f63e3975f0',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8','01a0c450-6c00-7000-b42a-38f0deda6090',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,1790000000000000,'revoked','leaked','host',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "sessions" (id, version, generation, key, request_id, agent_id, agent_alias, subject, workspace_id, audience, role, scopes, task_type, actors, parent_id, root_id, depth, delegable, forked_from, name, metadata, engine_url, engine_version, channel_id, room_id, sender_id, state, turn_id, turn_started_at, kid, jti, created_at, issued_at, token_expires_at, ttl, expires_at, absolute_expires_at, idle_timeout, last_activity, last_source, ended_at, cause, reason, ended_by, grant_name, granted, uses_left, refresh_idle, cnf, entry_count) VALUES('01a0c450-6c00-7000-9655-e1020ac676c1',2,2,NULL,NULL,'family',NULL,'agent:family','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-9655-e1020ac676c1',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8','01a0c450-6c00-7000-a912-524c79555da5',1790000000000000,1790000000000000,1790003600000000,3600000000,1790003600000000,1790086400000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,3600000000,NULL,0);
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
INSERT INTO "signing_keys" VALUES('O5Elv-xM7ft8mCK5akVxPDlOhALbWLO_r-1trFULGCg','ES256','retiring','{"alg": "ES256", "crv": "P-256", "kid": "O5Elv-xM7ft8mCK5akVxPDlOhALbWLO_r-1trFULGCg", "kty": "EC", "use": "sig", "x": "XeCxijL5HUl11qJQLrN2Nz_HDbn5SRUcYB0kkoAhh38", "y": "JuZY10ZNzevWjuuZ2Ywqp0uvbkeQnOCVAOgsCAC58j8"}',NULL,1790000000000000,1790000000000000,1790864000000000,0);
INSERT INTO "signing_keys" VALUES('AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8','ES256','active','{"alg": "ES256", "crv": "P-256", "kid": "AyJPhxycG9xvtIGliaf9p02hg4pSVs0Ncoz4U2WXxZ8", "kty": "EC", "use": "sig", "x": "AvhZpwkBywGK9pNsimZrU_hgRGctg2YOzUw4U7uxelE", "y": "47TsaKAhBz_alKImt3t9Qxmblok8UlUTQLoB_j2wShA"}',X'01F324A5BC7D7989CCDCDF3E3FE77B65D6EA1D1B76358D045442561DFDE5C799A54CAA2D22028ABDB603768134BA443FBC8CB79D1F19892F9FE772B7793FB0B6436F31CE595CBE1F0454ABA03E57BEFD2F8754C1144B07B55EE6C587B1081CBD0023780DB4635E1F0C42562A34402B8C9EC2EDE283026BFF6903C05B3F0380E8BFD6700E781A91CA6A19D217D501FC05E9D58A363093C930E2669B042A411114281B021071D23A',1790000000000001,1790000000000000,NULL,0);
INSERT INTO "signing_keys" VALUES('cbaDg-xygpi11OEZGs8LKT3qpuXc-n__AR3srTRm2-w','ES256','next','{"alg": "ES256", "crv": "P-256", "kid": "cbaDg-xygpi11OEZGs8LKT3qpuXc-n__AR3srTRm2-w", "kty": "EC", "use": "sig", "x": "VI9tWT3AsKcobc9E0B8mGF8NCmW5qQTJKK-7kLUrAC8", "y": "nAXv5Mxz2Z0lCTpRr25ze9jznytfchWU0zsbir_yIPU"}',X'0175B26CE02DE38CE8932B30A1EEEEDBFBCC5FF548D8755A9850F0050827F058368C20382B8A61E7218E8A8665E459DAF9A877249C677635A5E4C439F74286E38FFFFEAC353C1605FDA217A2631629FF9179C8B3E619B01E38594D042E67C7CAD7BD5176BDC00F42310332989042F07C6E636C2563E8C0F397E6128B53E3E043A9FC7620AD53ADD2CBE5525B8451FDC8B0622BC1B4866252C57FCC4869ADF8C5AECF4918BBE981',1790000000000001,NULL,NULL,0);
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
