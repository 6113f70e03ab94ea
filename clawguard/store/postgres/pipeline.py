"""Several statements in one round trip, each of them prepared: libpq's pipeline mode."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import psycopg
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from clawguard.errors import ClawguardError

__all__ = ["Pipeline", "Step", "failure_of"]

_MARK = re.compile("%[s%]")
_MOST = 200  # statements that stay prepared, each once for all types that its values had
_NO_ROW = "22012"


class Step(NamedTuple):
    """Hold a statement, its values, and what to raise where it divides by zero, as `step.or_fail` does."""

    sql: str
    values: Sequence[Any] = ()
    otherwise: ClawguardError | None = None


class _Bound(NamedTuple):
    """Hold a statement as the server takes it."""

    text: bytes
    values: Sequence[Buffer | None] = ()
    types: tuple[int, ...] = ()
    formats: Sequence[int] | None = None


class Pipeline:
    """Send steps over one connection.

    psycopg has the server forget what is prepared after a rollback: then `forget` has to be called.
    """

    def __init__(self, pgconn: PGconn, context: AdaptContext) -> None:
        self._pgconn = pgconn
        self._transformer = Transformer(context)
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._numbers = count()

    def forget(self) -> None:
        """Prepare everything anew."""
        self._names.clear()

    def sent(self, steps: Sequence[Step]) -> PQGen[list[PGresult]]:
        """Send steps and return what came of each, up to one that failed; none behind that one is done."""
        bound = list(map(self._bind, steps))  # a value that will not do leaves the connection as it is
        pgconn, told, failed = self._pgconn, dict[int, PGresult](), False
        pgconn.enter_pipeline_mode()
        try:
            asked = [number for number, each in enumerate(bound) for _ in range(self._queue(each))]
            pgconn.pipeline_sync()
            yield from send(pgconn)
            for number in asked:
                result = yield from self._next()
                if not failed:
                    told[number] = result
                    failed = result.status == ExecStatus.FATAL_ERROR
            yield from self._next()  # of the sync
        except psycopg.OperationalError:
            if not failed and len(told) < len(steps):
                raise  # else the server said what became of them before it went away
        finally:
            if failed or len(told) < len(steps):
                self.forget()
            with suppress(psycopg.Error):  # then it is in the middle of something, and nobody goes on with it
                pgconn.exit_pipeline_mode()
        return list(told.values())

    def _next(self) -> PQGen[PGresult]:
        found = yield from fetch_many(self._pgconn)
        if not found:
            raise psycopg.OperationalError("the server went away")
        last: PGresult = found[-1]
        return last

    def _bind(self, step: Step) -> _Bound:
        text, transformer = _numbered(step.sql), self._transformer
        if not step.values:
            return _Bound(text)
        values = transformer.dump_sequence(step.values, [PyFormat.AUTO] * len(step.values))
        return _Bound(text, values, transformer.types or (), transformer.formats)

    def _queue(self, bound: _Bound) -> int:
        """Put a statement into the pipeline and return how many answers it will have."""
        text, values, types, formats = bound
        name = self._names.get((text, types))
        if name is not None:
            self._pgconn.send_query_prepared(name, values, formats)
            return 1
        if not values or len(self._names) >= _MOST:
            self._pgconn.send_query_params(text, values, types, formats)
            return 1
        name = self._names[text, types] = b"clawguard_%d" % next(self._numbers)
        self._pgconn.send_prepare(name, text, types)
        self._pgconn.send_query_prepared(name, values, formats)
        return 2


def failure_of(result: PGresult, step: Step) -> psycopg.Error | ClawguardError | None:
    """Return what a step came to, if it failed."""
    if result.status != ExecStatus.FATAL_ERROR:
        return None
    error = psycopg.errors.error_from_result(result)
    return step.otherwise if error.sqlstate == _NO_ROW and step.otherwise is not None else error


@lru_cache(maxsize=_MOST)
def _numbered(sql: str) -> bytes:
    """Return a statement with `$1` for each `%s`."""
    numbers = count(1)
    return _MARK.sub(lambda mark: "%" if mark.group() == "%%" else f"${next(numbers)}", sql).encode()
