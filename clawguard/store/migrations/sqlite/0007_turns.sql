-- Turns: who waits for a session's, in the order in which they came, and who holds it: the first, once it began.

-- A ticket whose lease has ended counts for nothing. Numbers only grow, so that a later turn can be told by its own.
CREATE TABLE turns (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id  TEXT    NOT NULL,
    turn_id     TEXT    NOT NULL,
    began_at    INTEGER,
    lease_until INTEGER NOT NULL,
    leased_for  INTEGER NOT NULL CHECK (leased_for > 0)
) STRICT;

CREATE INDEX turns_session ON turns (session_id);
