PRAGMA application_id = 1129070935;
PRAGMA user_version = 2;
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
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    type       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    session_id TEXT,
    cause_id   TEXT,
    body       TEXT    NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,X'E397FDFC1985C710E9BDF09E5C74F1CA0B9347242C3ED6D5BD8C30D5634656C2','policy.changed',1790000000000000,NULL,NULL,'{"actor":"host","at":1790000000000000,"data":{"digest":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c"},"id":"01a0c450-6c00-7000-a883-a994f0ab8927","type":"policy.changed"}');
INSERT INTO "events" VALUES(2,X'D39767DAC33FFB37C8AF390C39B54072D1738B3449408899E22593B84B0FDD8A','session.created',1790000000000000,'01a0c450-6c00-7000-b780-352cb2eb1bbd',NULL,'{"agent_id":"planner","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c","role":"lead","scopes":"docs:read docs:write"},"id":"01a0c450-6c00-7000-aa91-1ca67ea14253","session_id":"01a0c450-6c00-7000-b780-352cb2eb1bbd","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(3,X'38F15AD2581729AA5261BF70159CC14A1F9B188758BF981BC0841F9B31243B80','session.created',1790000000000000,'01a0c450-6c00-7001-9aec-300bb73b68a3',NULL,'{"agent_id":"helper","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"parent_id":"01a0c450-6c00-7000-b780-352cb2eb1bbd","policy":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c","role":"lead","scopes":"docs:read"},"id":"01a0c450-6c00-7000-ae8b-3032d26297ec","session_id":"01a0c450-6c00-7001-9aec-300bb73b68a3","subject":"user:ana","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(4,X'902DA5782EF9C1431DF98D9EAD800545CB8C10471F67CDE23D5444059EA3BAFE','session.created',1790000000000000,'01a0c450-6c00-7000-86f0-ade8cbbe4a76',NULL,'{"agent_id":"counted","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c","scopes":"docs:read","uses":2},"id":"01a0c450-6c00-7000-88f0-2f31edd2c864","session_id":"01a0c450-6c00-7000-86f0-ade8cbbe4a76","subject":"agent:counted","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(5,X'A4CEAAB5C91A68BDD78BE8BF4CF11AAE9CEA346DC9E47F656A8A1BF6B7319201','session.created',1790000000000000,'01a0c450-6c00-7000-a8a9-d75d496153a1',NULL,'{"agent_id":"gone","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c","scopes":"docs:read"},"id":"01a0c450-6c00-7000-aa3c-10777ee7dc52","session_id":"01a0c450-6c00-7000-a8a9-d75d496153a1","subject":"agent:gone","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(6,X'B0F5CAC8EB420B312C285607832A2DBD2757CBD58DF801C21FD9AE925C55B570','session.expired',1790000000000000,'01a0c450-6c00-7000-a8a9-d75d496153a1','01a0c450-6c00-7000-a3e5-d0deb984e3b4','{"actor":"host","agent_id":"gone","at":1790000000000000,"cause":"revoked","cause_id":"01a0c450-6c00-7000-a3e5-d0deb984e3b4","id":"01a0c450-6c00-7000-9328-68331c626701","reason":"leaked","session_id":"01a0c450-6c00-7000-a8a9-d75d496153a1","subject":"agent:gone","type":"session.expired","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(7,X'99A412963E7D5A2B00DAC5C63EC3D845147AEEB97774DA04EA412B215DC4E6B0','session.created',1790000000000000,'01a0c450-6c00-7000-86c9-66b3fad430eb',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790003600000000,"policy":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c","scopes":"docs:read"},"id":"01a0c450-6c00-7000-b1a6-847a27f6a101","session_id":"01a0c450-6c00-7000-86c9-66b3fad430eb","subject":"agent:family","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(8,X'48921DF84918483AEECDBE7AF27F8B2E487F909E47960EF215B13C58A7C39FD9','session.refreshed',1790000000000000,'01a0c450-6c00-7000-86c9-66b3fad430eb',NULL,'{"agent_id":"family","at":1790000000000000,"data":{"expires_at":1790003600000000,"generation":2},"id":"01a0c450-6c00-7000-bf2c-4e20388d008f","session_id":"01a0c450-6c00-7000-86c9-66b3fad430eb","subject":"agent:family","type":"session.refreshed","version":2,"workspace_id":"default"}');
INSERT INTO "events" VALUES(9,X'1BDB0F16FA4520845809002441EB12A277DE19B65D226302E880C469D014B5E1','agent.disabled',1790000000000000,NULL,'01a0c450-6c00-7000-b5da-4637bd2006fc','{"actor":"host","agent_id":"rogue","at":1790000000000000,"cause_id":"01a0c450-6c00-7000-b5da-4637bd2006fc","id":"01a0c450-6c00-7000-8804-fbf175397b85","reason":"sends mail","type":"agent.disabled","workspace_id":"default"}');
INSERT INTO "events" VALUES(10,X'37EDD44C3D5BB5EB7BE48854D7471ADE7742B7B21DCAC5534F88391AD98CDFF1','session.created',1790000000000000,'01a0c450-6c00-7000-b933-fa86fccd5c40',NULL,'{"agent_id":"old","at":1790000000000000,"data":{"audience":"clawguard","expires_at":1790864000000000,"policy":"3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c","scopes":"docs:read"},"id":"01a0c450-6c00-7000-9319-1508f5973ae5","session_id":"01a0c450-6c00-7000-b933-fa86fccd5c40","subject":"agent:old","type":"session.created","version":1,"workspace_id":"default"}');
INSERT INTO "events" VALUES(11,X'E22B448BA51E0C84F8358B0E33D6B376FA97BB54E2BED2F77051AD67A747E591','key.rotated',1790000000000000,NULL,'01a0c450-6c00-7000-981c-5030da565192','{"at":1790000000000000,"cause_id":"01a0c450-6c00-7000-981c-5030da565192","data":{"kid":"cEUXVilt_gMY4FjZAns_jTfkH3PPveT1ybeu3T5HJBA","previous":"-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g"},"id":"01a0c450-6c00-7000-bf15-778237b2ec65","type":"key.rotated"}');
CREATE TABLE meta (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    issuer         TEXT    NOT NULL,
    audience       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    barrier        INTEGER NOT NULL DEFAULT 0,
    founded_at     INTEGER NOT NULL
, policy TEXT) STRICT;
INSERT INTO "meta" VALUES(1,2,'urn:clawguard:01a0c450-6c00-7000-baf2-70d35e7bf063','clawguard',3,0,1790000000000000,'3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c');
CREATE TABLE migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;
INSERT INTO "migrations" VALUES(1,'core','a293763bc97f980c3535338c5faaae223a526325b47a5f4e3a837509903ffe4a',1790000000000000);
INSERT INTO "migrations" VALUES(2,'authority','73868c5fc34ae6bdc9c78c96256198f824aad605d615d8bb4086dcb37f4c51a6',1790000000000000);
CREATE TABLE policies (
    digest   TEXT    NOT NULL PRIMARY KEY CHECK (length(digest) = 64),
    body     TEXT    NOT NULL,
    first_at INTEGER NOT NULL
) STRICT;
INSERT INTO "policies" VALUES('3ee5a9125e26746111d92d8120dc8ae4aaa20257ed8ff098e2e50dc51062a80c','{"grants":[],"roles":{"lead":{"scopes":["docs:*"]}},"rules":[],"tasks":{}}',1790000000000000);
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
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-86c9-66b3fad430eb',X'CEC25D6FC9BCB1F7958EC5BD8C62BB934403C9F019E2F4F8A86B9FCFBE4FDAB2',1790000000000000,1790000000000000,1790000010000000,X'1A6336DE81C97D097F83784AE06C3BC80B584C228CBEC4C133AEAA9193917E3BFA554AD226E4FDE9E76876E28690FC556456AC5C5034F12504BB1441');
INSERT INTO "refresh_tokens" VALUES('01a0c450-6c00-7000-86c9-66b3fad430eb',X'E4E441AF1BFD6721EC52C33047E689F83EEF4E39053EB9273EE09E1A00209482',1790000000000000,NULL,NULL,NULL);
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
                              THEN 'idle' ELSE 'ttl' END) VIRTUAL, grant_name TEXT, granted INTEGER NOT NULL DEFAULT 0 CHECK (granted IN (0, 1)), uses_left INTEGER CHECK (uses_left >= 0), refresh_idle INTEGER CHECK (refresh_idle > 0),
    CHECK ((ended_at IS NULL) = (cause IS NULL)),
    CHECK (token_expires_at <= expires_at),
    CHECK ((parent_id IS NULL) = (depth = 0))
) STRICT;
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-b780-352cb2eb1bbd',1,1,'k',NULL,'planner',NULL,'user:ana','default','clawguard','lead','docs:read docs:write',NULL,'[]',NULL,'01a0c450-6c00-7000-b780-352cb2eb1bbd',0,1,NULL,NULL,'{"a":1}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','01a0c450-6c00-7000-b422-05d503b6106a',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7001-9aec-300bb73b68a3',1,1,NULL,NULL,'helper',NULL,'user:ana','default','clawguard','lead','docs:read',NULL,'[["planner","01a0c450-6c00-7000-b780-352cb2eb1bbd"]]','01a0c450-6c00-7000-b780-352cb2eb1bbd','01a0c450-6c00-7000-b780-352cb2eb1bbd',1,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','01a0c450-6c00-7001-b3fe-d3d0cd142e5f',1790000000000001,1790000000000001,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000001,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-86f0-ade8cbbe4a76',1,1,NULL,NULL,'counted',NULL,'agent:counted','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-86f0-ade8cbbe4a76',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','01a0c450-6c00-7000-bb6b-1fedf296008c',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,2,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-a8a9-d75d496153a1',2,1,NULL,NULL,'gone',NULL,'agent:gone','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-a8a9-d75d496153a1',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','01a0c450-6c00-7000-b600-24ec640fa47d',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,1790000000000000,'revoked','leaked','host',NULL,0,NULL,NULL);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-86c9-66b3fad430eb',2,2,NULL,NULL,'family',NULL,'agent:family','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-86c9-66b3fad430eb',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','01a0c450-6c00-7000-b148-1232ea971d17',1790000000000000,1790000000000000,1790000600000000,600000000,1790003600000000,1790086400000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,3600000000);
INSERT INTO "sessions" VALUES('01a0c450-6c00-7000-b933-fa86fccd5c40',1,1,NULL,NULL,'old',NULL,'agent:old','default','clawguard',NULL,'docs:read',NULL,'[]',NULL,'01a0c450-6c00-7000-b933-fa86fccd5c40',0,1,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL,'idle',NULL,NULL,'-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','01a0c450-6c00-7000-9fb8-d138e7bf5018',1790000000000000,1790000000000000,1790864000000000,864000000000,1790864000000000,1790864000000000,NULL,1790000000000000,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
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
INSERT INTO "signing_keys" VALUES('-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g','ES256','retiring','{"alg": "ES256", "crv": "P-256", "kid": "-NX2jPyLcYZHYLqmGUJMhPLQ_j0tpQG1Hl63x2-Dy1g", "kty": "EC", "use": "sig", "x": "9wK_5n1RHPjB5rtSMpIDgN5PfYlukrQHHBns8MtLvtc", "y": "Ssh36gSkmbeJOfMLiVw3eaZmEj4LPIYbbbfx3kmY4gA"}',NULL,1790000000000000,1790000000000000,1790864000000000,0);
INSERT INTO "signing_keys" VALUES('cEUXVilt_gMY4FjZAns_jTfkH3PPveT1ybeu3T5HJBA','ES256','active','{"alg": "ES256", "crv": "P-256", "kid": "cEUXVilt_gMY4FjZAns_jTfkH3PPveT1ybeu3T5HJBA", "kty": "EC", "use": "sig", "x": "Bu7XQS5wT2zyIH57j904KqvbimA7DMu7ncS6DV3YMYU", "y": "ZJJv9PxT9NdU_bPIyW4MMww0iuXOX6Jg619kxdkuMfE"}',X'0162121CDFE23DB5EA648FC2226824ACD5D508E7D76D57E7AE9648C10797CA9B619C1988DFD77DEB80EE683C7E8B1EED198A0C89F1A099EA878ED17A59804A5A4C4DF3065BD544E883FA27EBC964AAB861F67692EE538E6C3311A4450178291FEC0625E118A37450D121234ED93F7F93D6879AB8F0FB7A5BA0FCA2ADBD0790006E27B5378F4067928094BB4CBAC43FB3E65EAA9BED2864F8992A61210158328A3923240D7B189B',1790000000000001,1790000000000000,NULL,0);
INSERT INTO "signing_keys" VALUES('UsVd1kAQ49B7cXJeoy51NEprohB_v03gYuX1lUoY55U','ES256','next','{"alg": "ES256", "crv": "P-256", "kid": "UsVd1kAQ49B7cXJeoy51NEprohB_v03gYuX1lUoY55U", "kty": "EC", "use": "sig", "x": "QLvHPEn8AxN3ZSxrRj-thBRgmRAjj3eaD2Bfi2n0htg", "y": "RF3xHbNQQqfIMix2jWpYq0CVcEuoSE9cTmVb9km-sfM"}',X'01B32B8C4735F514226F948E5407DD525AAF2137D3D757E92990F7E0733B972052986461F63D3C00DB41E9EEEACEB88214943B618E785200FFB377A0B2853421215DBD2CCEF800EAA3224E0AD3A739FD58DF5D899891672C1C2C198F355D0BA829A3337364A80887FE62E4D87D984C4B49A9A3C7B65E4A3993CB43B6267349D24B78A53026BE8A570509BA7980C879BB6185E23A3F7DE165AA674FFF00151EC2B5C96727D41B5D',1790000000000001,NULL,NULL,0);
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
COMMIT;
