"""Flask: an extension that guards an app and answers what its views refuse. The extra is `flask`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.scopes import Scopes
from clawguard.sessions.current import requires
from clawguard.web.bearer import REFUSED, refusal_for
from clawguard.web.front import REFUSAL_KEY, Checker, Refuse
from clawguard.web.wsgi import ClawguardMiddleware

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

__all__ = ["Clawguard"]

_EXTENSION = "clawguard"


class Clawguard:
    """Guard a Flask app: `Clawguard(app, verifier)`, or `Clawguard(verifier=verifier)` and `init_app(app)`.

    Every request goes through `clawguard.web.wsgi.ClawguardMiddleware`, which has the same options. In views
    and in streamed responses `current_session()` works, and `requires` below: `@guard.requires("docs:read")`
    under `@app.route`. With `optional=True` views without it are open to requests that have no credential.
    """

    requires = staticmethod(requires)

    def __init__(
        self,
        app: Flask | None = None,
        verifier: Checker | None = None,
        *,
        require: Scopes = (),
        origin: str | None = None,
        certificate_of: Callable[[WSGIEnvironment], bytes | str | None] | None = None,
        optional: bool = False,
        cookie: str | None = None,
        resource_metadata: str | None = None,
    ) -> None:
        if verifier is None:
            raise InvalidArgument("verifier", "is needed", hint="pass a Verifier or a SessionManager")
        self._guard = partial(
            ClawguardMiddleware,
            verifier=verifier,
            require=require,
            origin=origin,
            certificate_of=certificate_of,
            optional=optional,
            cookie=cookie,
            resource_metadata=resource_metadata,
        )
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard an app, once."""
        if _EXTENSION in app.extensions:
            raise InvalidArgument("app", "is guarded already", hint="call init_app once for an app")
        guarded = self._guard(app.wsgi_app)
        app.extensions[_EXTENSION] = self
        app.wsgi_app = guarded  # type: ignore[method-assign]  # as Flask says it is to be done
        for kind in REFUSED:
            app.register_error_handler(kind, _answer)


def _answer(error: ClawguardError) -> Response:
    refuse: Refuse = request.environ.get(REFUSAL_KEY, refusal_for)
    refusal = refuse(error)
    return Response(refusal.body, refusal.status, list(refusal.headers))
