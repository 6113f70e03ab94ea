PRAGMA application_id = 1129070935;
PRAGMA user_version = 5;
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
INSERT INTO "event_cursors" VALUES('siem','01a0c450-6c00-7000-a086-413c58c0ccd7','session.*',11,NULL,0,0,0,0,0,1790000000000000);
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    type       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    session_id TEXT,
    cause_id   TEXT,
    body       TEXT    NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,X'02B60F7E844D1DF4D9DB3421319C1D77E8C4D0422527FFE3B4CAE33B0DF94990','session.created',1790000000000000,'01a0c450-6c00-7000-9184-75b8e64627ce',NULL,'{"agent_id":"old","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"scopes":"docs:read"},"id":"01a0c450-6c00-7000-b9bb-c2b6e0a238d0","session_id":"01a0c450-6c00-7000-9184-75b8e64627ce","subject":"agent:old","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(2,X'D8A1CAC0B6FFFA40F2C15E7B7CCEAC2208E49AD053E9D2B7DAA24F958276E8E2','key.rotated',1790000000000000,NULL,'01a0c450-6c00-7000-931b-653d50d04c18','{"actor":"host","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-931b-653d50d04c18","data":{"kid":"yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw","previous":"hExtLOFS9Unt8WWfnJ_LL-moVTidolDUKhF7WLezS8w"},"id":"01a0c450-6c00-7000-9808-ac36bedffc20","type":"key.rotated"}');
INSERT INTO "events" VALUES(3,X'BD647466EC350476FD82F737E198C140DC8489D6BCAE6C660160AF0DDD970A6B','policy.changed',1790000000000000,NULL,NULL,'{"actor":"host","at":1790000000000000,"data":{"digest":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d"},"id":"01a0c450-6c00-7000-a8f2-5ed7510d8b81","type":"policy.changed"}');
INSERT INTO "events" VALUES(4,X'A12B423230EA91AB9E8AFDA25E055EF29149B016BC5AB54A558967FC51646947','session.created',1790000000000000,'01a0c450-6c00-7000-9aea-7a23d2e70bae',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","role":"lead","scopes":"docs:read docs:write"},"id":"01a0c450-6c00-7000-81d6-c5ded807a003","session_id":"01a0c450-6c00-7000-9aea-7a23d2e70bae","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(5,X'01BAE7255CF7780CFA515C830AF1C7CD92ABED194A9330A42C57A224F914E8C0','session.created',1790000000000000,'01a0c450-6c00-7001-a6e2-3515ec423a47',NULL,'{"agent_id":"helper","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"parent_id":"01a0c450-6c00-7000-9aea-7a23d2e70bae","policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","role":"lead","scopes":"docs:read"},"id":"01a0c450-6c00-7000-a9a5-fc4f05d05ca9","session_id":"01a0c450-6c00-7001-a6e2-3515ec423a47","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(6,X'8E72D0EA7F77627EECB522595FFB039792FA075C19BE53F1790861EC3AEEA9A0','session.created',1790000000000000,'01a0c450-6c00-7000-b820-18f912c7ad49',NULL,'{"agent_id":"counted","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read","uses":2},"id":"01a0c450-6c00-7000-9515-1d4b79b9dede","session_id":"01a0c450-6c00-7000-b820-18f912c7ad49","subject":"agent:counted","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(7,X'72F7FE79885CC42B8CF216C035D698D974253245E6DD5124E3558A372B286AA5','session.created',1790000000000000,'01a0c450-6c00-7000-bf07-9db936b13c5c',NULL,'{"agent_id":"gone","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read"},"id":"01a0c450-6c00-7000-850c-ce3d611eef84","session_id":"01a0c450-6c00-7000-bf07-9db936b13c5c","subject":"agent:gone","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(8,X'0DB06B9DD8793A2397E8F1038BDC825C07FEEAC809EDA90B246A6AD816409ABF','session.expired',1790000000000000,'01a0c450-6c00-7000-bf07-9db936b13c5c','01a0c450-6c00-7000-8873-157c7e846962','{"actor":"host","agent_id":"gone","at":1790000000000000,"cause":"revoked","cause_id":"01a0c450-6c00-7000-8873-157c7e846962","id":"01a0c450-6c00-7000-b3cc-44ddfd7cd9a8","reason":"leaked","session_id":"01a0c450-6c00-7000-bf07-9db936b13c5c","subject":"agent:gone","type":"session.expired","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(9,X'F202EE116E3ACF4572C2602C5F58416FBABBAAC56DE1243A4AF1E27C7C340A97','session.created',1790000000000000,'01a0c450-6c00-7000-ad98-4fe0d895270f',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790003600000000,"policy":"a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d","scopes":"docs:read"},"id":"01a0c450-6c00-7000-8be8-e7470b01c1d6","session_id":"01a0c450-6c00-7000-ad98-4fe0d895270f","subject":"agent:family","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(10,X'8F9169AB4C8851B5D1A8D1694F410AD8F2CD6CDA34D99EE627A78E71DF9B464B','session.refreshed',1790000000000000,'01a0c450-6c00-7000-ad98-4fe0d895270f',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"expires_at":1790003600000000,"generation":2},"id":"01a0c450-6c00-7000-b9cf-28d1bdc0e56d","session_id":"01a0c450-6c00-7000-ad98-4fe0d895270f","subject":"agent:family","type":"session.refreshed","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(11,X'619A821B8BE0AB0041D13ABF0F011BF56AF536553161664F5DE5062847A73540','agent.disabled',1790000000000000,NULL,'01a0c450-6c00-7000-8658-8d32099dffd8','{"actor":"host","agent_id":"rogue","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-8658-8d32099dffd8","id":"01a0c450-6c00-7000-85fa-f0b9ef09a0eb","reason":"sends mail","type":"agent.disabled","workspace_id":"default"}');
CREATE TABLE log_keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    kid        TEXT    NOT NULL,
    public_jwk TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "log_keys" VALUES(1,'Ot1Hd7IIKy0P0471Twk1pazp081kjKl8w9HBYIr43JQ','{"alg": "EdDSA", "crv": "Ed25519", "kid": "Ot1Hd7IIKy0P0471Twk1pazp081kjKl8w9HBYIr43JQ", "kty": "OKP", "use": "sig", "x": "qwLpzBKSQDYbx86TV_64uKPwCqQ6LzYAdJ_tbVoaSKE"}',X'01A7B0A60894424B35AB43860324D03EB743DB163F9B20F7BA67BE6D824FAE500A4C12C33AD752A6D3CB114C21621C2B7A6D45F11753240B26ED7C939D8CAB93D148A8E2A745707FB98AE695F6',1790000000000000);
CREATE TABLE meta (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    issuer         TEXT    NOT NULL,
    audience       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    barrier        INTEGER NOT NULL DEFAULT 0,
    founded_at     INTEGER NOT NULL
, policy TEXT, proofs_forgotten INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "meta" VALUES(1,5,'urn:clawguard:01a0c450-6c00-7000-94eb-f6896dca34c1','clawguard',3,0,1790000000000000,'a252db6cde5c25cb1cf8df26748bd9eb0edeb03edd0d1a297a6e2e4aa222553d',0);
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
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-ad98-4fe0d895270f',X'780AF2CB767D32F18C3765458158217DE39474C22561DF16FA516B9AADAB8ED5',1790000000000000,NULL,NULL,NULL);
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-ad98-4fe0d895270f',X'A94CA89372DC70BED6971577E5C545F735518DE88280B4FDD05CFE365A35414A',1790000000000000,1790000000000000,1790000010000000,X'81339FF782ED1AA21E8516BCCED74042E058DA0BE3E467C7B73380291D1FC84501381C50799BF638B6F79A763512999363BDFBF1E45ECCDFBAA25C75');
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
                              THEN 'idle' ELSE 'ttl' END) VIRTUAL, grant_name TEXT, granted INTEGER NOT NULL DEFAULT 0 CHECK (granted IN (0, 1)), uses_left INTEGER CHECK (uses_left >= 0), refresh_idle INTEGER CHECK (refresh_idle > 0), cnf TEXT,
    CHECK ((ended_at IS NULL) = (cause IS NULL)),
    CHECK (token_expires_at <= expires_at),
    CHECK ((parent_id IS NULL) = (depth = 0))
) STRICT;
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-9184-75b8e64627ce',1,1,NULL,NULL,'old',NULL,'agent:old','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-9184-75b8e64627ce',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'hExtLOFS9Unt8WWfnJ_LL-moVTidolDUKhF7WLezS8w','01a0c450-6c00-7000-9f49-bf37f82180e9',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-9aea-7a23d2e70bae',1,1,'k',NULL,'planner',NULL,'user:ana','default','clawguard','lead','docs:read docs:write',NULL,'[]',NULL,'01a0c450-6c00-7000-9aea-7a23d2e70bae',0,1,NULL,'Plan','{"a":1}',NULL,NULL,'telegram',NULL,NULL,'idle',NULL,NULL,'yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw','01a0c450-6c00-7000-9f98-ccbdfc3485df',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7001-a6e2-3515ec423a47',1,1,NULL,NULL,'helper',NULL,'user:ana','default','clawguard','lead','docs:read',NULL,'[["planner","01a0c450-6c00-7000-9aea-7a23d2e70bae"]]','01a0c450-6c00-7000-9aea-7a23d2e70bae','01a0c450-6c00-7000-9aea-7a23d2e70bae',1,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw','01a0c450-6c00-7001-a6ed-23294da4c8c8',1790000000000001,1790000000000001,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000001,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-b820-18f912c7ad49',1,1,NULL,NULL,'counted',NULL,'agent:counted','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-b820-18f912c7ad49',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw','01a0c450-6c00-7000-9ce7-54a74d0c0919',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,2,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-bf07-9db936b13c5c',2,1,NULL,NULL,'gone',NULL,'agent:gone','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-bf07-9db936b13c5c',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw','01a0c450-6c00-7000-abae-c68a13d969f7',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,1790000000000000,'revoked','leaked','host',NULL,0,NULL,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-ad98-4fe0d895270f',2,2,NULL,NULL,'family',NULL,'agent:family','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-ad98-4fe0d895270f',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw','01a0c450-6c00-7000-9c26-53c2c2c5b155',1790000000000000,1790000000000000,1790003600000000,864000000000,1790003600000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,3600000000,NULL);
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
INSERT INTO "signing_keys" VALUES('hExtLOFS9Unt8WWfnJ_LL-moVTidolDUKhF7WLezS8w','ES256','retiring','{"alg": "ES256", "crv": "P-256", "kid": "hExtLOFS9Unt8WWfnJ_LL-moVTidolDUKhF7WLezS8w", "kty": "EC", "use": "sig", "x": "KDuEp2rpAPBlRehsJe-PIjgSVr3J93WncIMlij58GUM", "y": "RK-QUy4g1BMx2Wee0VUajhDq54-Vl488k4xEcludE-4"}',NULL,1790000000000000,1790000000000000,1790864000000000,0);
INSERT INTO "signing_keys" VALUES('yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw','ES256','active','{"alg": "ES256", "crv": "P-256", "kid": "yc9DZf2vg7tQ_qRxucboOlUS1bMhcaAWbJg1gPqR3pw", "kty": "EC", "use": "sig", "x": "O1N_0AZf_vJJcWcHPKl_8kxQIYXdJGWijCBoHtwnHiY", "y": "LMbywhpm5kxDAfCCyXl8PHx1vVsTN-1nVwuL5A3PB50"}',X'01FEAA34F1074207F59515D4A0ECCFFEEB2369D60A2EFEADBD940136D4CD74CF02438B4E41895D1C89E157FDBC0F72A754F4D2229E4BF5D9D457177C27242F8861CCFEBC77691B4C965484AED26E6ADAFBB45AEEDAED07C609CC95F90B29529B780F9BC3B45CEFCA1DD6819E799B6DD2919669AD193C390167F72C9A1A5880F0E8EB294703535C6699D273111A059610E41872A72F763DE7188A324446458DACBED8FDE9D98508',1790000000000001,1790000000000000,NULL,0);
INSERT INTO "signing_keys" VALUES('gRVshE6EL374y6HdmBQGYGt9PU77rFMXGy2ECx1hZ-A','ES256','next','{"alg": "ES256", "crv": "P-256", "kid": "gRVshE6EL374y6HdmBQGYGt9PU77rFMXGy2ECx1hZ-A", "kty": "EC", "use": "sig", "x": "l3HbDkhtVQrDERb3DSNcRtZeYsMixS_y2FH5fXIE74g", "y": "E21acPw2HNjl8s6xQWGwvX8mSJv59ms96042eRYzxPo"}',X'01F595AC5E0DFB5D336FA42ADF5F1BBFA35A07BCE111A3430F8E1E0AAB73451C9E9286673FBDC393E996CA63A1E2543521EA0A5EA9FE9F7F679098E753F47EF8219B73239462376F995DAF28296C6248D9164644F8FFB811069309B5AE2674F310688B501878CA3C46F64FE94D329D4332583B14C38B4D791B5520F72894E4FE38DE66E2E8676A9F51E894DDBF9049D4E7EDD14ED3F94909C19A07DB43E4B63EC00851DFE99C25',1790000000000001,NULL,NULL,0);
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
COMMIT;
