"""What shuts a database: it was moved into another, or is a copy that is not whole yet.

Its tables are hidden then, under other names. So every statement fails, in each process that has it open
and of whatever version, and costs nothing more as long as it does not; only then is it asked why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clawguard.errors import ClawguardError, ConfigError, StoreMoved
from clawguard.store import Row

__all__ = ["MoveState", "state_of"]


class MoveState(NamedTuple):
    """Hold what is known of a move, in the columns of `move.state`.

    `capture` tells the copying of one database from another's; `copy` is the new database, in both.
    """

    state: str
    capture: str
    copy: str
    told: str
    progress: str

    @property
    def is_shut(self) -> bool:
        """Whether nobody but a copy may use the database."""
        return self.state != "watched"

    def refusal(self) -> ClawguardError | None:
        """Return what everybody else is told, or None where the database is in use."""
        if self.state == "moved":
            return StoreMoved("the database was moved", hint=f"open {self.told}")
        if self.state == "receiving":
            hint = "repeat it: clawguard db copy OLD NEW; or begin anew with an empty database"
            return ConfigError(f"the copy of {self.told} into this database is not whole", hint=hint)
        return None


def state_of(rows: Sequence[Row]) -> MoveState | None:
    """Return the state that the rows of `move.state` hold."""
    return MoveState(*rows[0]) if rows else None
