-- What a database says whose tables are hidden: laid over the others for whoever moves it.

-- name: change.head
SELECT schema_version, revision, NULL, NULL, NULL FROM shut_meta WHERE id = 1;

-- name: meta.get
SELECT schema_version, issuer, audience, revision, policy FROM shut_meta WHERE id = 1;

-- name: meta.identity
SELECT founded_at, issuer FROM shut_meta WHERE id = 1 AND FALSE;
