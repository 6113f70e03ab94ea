-- Durable subscribers: how far each has come, who serves it at the moment, and what it could not take.

-- `incarnation` tells a name that was removed and made anew from what it was. An owner is at work: a lease that ended
-- with it still there has lapsed.
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

CREATE TABLE parked_events (
    name      TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    error     TEXT    NOT NULL,
    tries     INTEGER NOT NULL,
    parked_at INTEGER NOT NULL,
    replay    INTEGER NOT NULL DEFAULT 0 CHECK (replay IN (0, 1)),
    PRIMARY KEY (name, seq)
) STRICT, WITHOUT ROWID;
