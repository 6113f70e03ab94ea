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
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from clawguard.errors import ClawguardError

__all__ = ["Pipeline", "Step", "failure_of"]

_MARK = re.compile("%[s%]")
_MOST = 200  # statements that stay prepared, each once for all types that its values had
_LARGE = 8_192  # bytes; what is less is sent at one go
_NO_ROW = "22012"
_NO_STATEMENT = b"26000"

_Key = tuple[bytes, tuple[int, ...]]  # a statement and the types of its values


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


class _Asked(NamedTuple):
    """Hold which step an answer is of, None for a sync, and the name of a statement that is only prepared."""

    number: int | None
    prepared: tuple[_Key, bytes] | None = None


class Pipeline:
    """Send steps over one connection."""

    def __init__(self, pgconn: PGconn, context: AdaptContext) -> None:
        self._pgconn = pgconn
        self._transformer = Transformer(context)
        self._names: dict[_Key, bytes] = {}  # only what the server said it has
        self._numbers = count()

    def forget(self) -> None:
        """Prepare everything anew: the server has it no more."""
        self._names.clear()

    def sent(self, steps: Sequence[Step]) -> PQGen[list[PGresult]]:
        """Send steps and return what came of each, up to one that failed.

        None behind that one is done; where values are large that takes a transaction.
        """
        bound = list(map(self._bind, steps))  # a value that will not do leaves the connection as it is
        pgconn, told = self._pgconn, dict[int, PGresult]()
        if pgconn.pipeline_status:  # its answers would be taken for these steps'
            raise psycopg.InterfaceError("the connection is in the middle of a pipeline")
        pgconn.enter_pipeline_mode()
        try:
            asked = self._queue(bound)
            yield from send(pgconn)
            yield from self._hear(asked, told)
        except psycopg.OperationalError:
            if not self._is_failed(told) and len(told) < len(steps):
                raise  # else the server said what became of them before it went away
        finally:
            with suppress(psycopg.Error):  # then it is in the middle of something, and nobody goes on with it
                pgconn.exit_pipeline_mode()
        if any(each.error_field(DiagnosticField.SQLSTATE) == _NO_STATEMENT for each in told.values()):
            self.forget()
        return list(told.values())

    def _hear(self, asked: list[_Asked], told: dict[int, PGresult]) -> PQGen[None]:
        """Gather what came of each step."""
        for number, prepared in asked:
            if number is None:
                yield from self._hear_sync(told)
                continue
            result = yield from self._next()
            if self._is_failed(told):
                continue
            if prepared is None or result.status == ExecStatus.FATAL_ERROR:
                told[number] = result
            else:
                key, name = prepared
                self._names[key] = name

    def _hear_sync(self, told: dict[int, PGresult]) -> PQGen[None]:
        """Go on behind a sync; what fails there is the failure of the step before."""
        late = []
        while (result := (yield from self._next())).status != ExecStatus.PIPELINE_SYNC:
            late.append(result)  # who says this and goes away has done all steps before
        if late and told and not self._is_failed(told):
            told[len(told) - 1] = late[0]

    def _is_failed(self, told: dict[int, PGresult]) -> bool:
        return bool(told) and told[len(told) - 1].status == ExecStatus.FATAL_ERROR

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

    def _queue(self, bound: Sequence[_Bound]) -> list[_Asked]:
        """Put statements into the pipeline and return which answers there will be."""
        asked, names = list[_Asked](), dict[_Key, bytes]()
        for number, (text, values, types, formats) in enumerate(bound):
            key = text, types
            name = self._names.get(key) or names.get(key)
            if name is None and values and len(self._names) + len(names) < _MOST:
                name = names[key] = b"clawguard_%d" % next(self._numbers)
                self._pgconn.send_prepare(name, text, types)
                asked.append(_Asked(number, (key, name)))
            if asked and _is_large(values):
                asked.append(self._sync())
            if name is None:
                self._pgconn.send_query_params(text, values, types, formats)
            else:
                self._pgconn.send_query_prepared(name, values, formats)
            asked.append(_Asked(number))
        return [*asked, self._sync()]

    def _sync(self) -> _Asked:
        """Have the server say how far it is; it gives up whoever stands still behind that, and only there."""
        self._pgconn.pipeline_sync()
        return _Asked(None)


def _is_large(values: Sequence[Buffer | None]) -> bool:
    return sum(len(each) for each in values if each is not None) > _LARGE


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
