"""Bodies and query strings, read strictly: one value that no two parsers could read differently."""

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from clawguard.guard.encoding import STRICT

__all__ = ["StrictRoute"]

_REPEATED = {"types"}


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Return the body's value; no name twice, no NaN, nothing but UTF-8."""
        try:
            return STRICT.decode((await self.body()).decode())
        except (ValueError, RecursionError):
            raise json.JSONDecodeError("the body is malformed", "", 0) from None


class StrictRoute(APIRoute):
    """Read a request's body and query strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, over a request that is read so."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            _check_once(request)
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


def _check_once(request: Request) -> None:
    """Refuse a parameter that stands in the query twice, where one value is taken."""
    names = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in names.items():
        if count > 1 and name not in _REPEATED:
            raise RequestValidationError(
                [{"type": "repeated", "loc": ("query", name), "msg": "Stands there twice"}]
            )
