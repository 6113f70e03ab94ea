"""Web frameworks: what a guard adds to a request, beside what others add that look into a database too.

Each side is served whole requests by its own app, in the framework's own way and without a network; the same
app without any guard is served beside them, and its time is taken away from both. The others are set up in
their favour: keys that are loaded, connections that stay open, a blocklist that is one keyed read. Where
they can sign with ES256 they do. What counts is the processor's time, of all threads: a loop of theirs is so
long that a busy machine interrupts it, one of ours is not.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import process_time
from typing import Any
from wsgiref.util import setup_testing_defaults

from clawguard import SessionManager, Verifier

from .harness import Act, Pair, Result, Setting, absent, alternate, benchmark
from .raw import SCOPES, open_manager

_REQUESTS = 50


@benchmark("web-peers")
def web_peers(setting: Setting) -> Iterator[Result]:
    """what the check of a request adds, beside flask-jwt-extended, simplejwt and fastapi-users"""
    with (
        open_manager(setting.path("web-peers")) as manager,
        Verifier.open(setting.path("web-peers")) as verifier,
    ):
        for name, measure in (
            ("flask-jwt-extended", _flask),
            ("djangorestframework-simplejwt", _django),
            ("fastapi-users", _fastapi),
        ):
            try:
                yield from measure(setting, manager, verifier)
            except ImportError:
                absent(name, "the guard of its framework has")


def _added(setting: Setting, ours: Act, theirs: Act, bare: Act) -> Pair:
    """Measure all three in turn and take the bare app's time away, round by round."""
    rounds = setting.size(41, 15)
    mine, others, plain = alternate(ours, theirs, bare, rounds=rounds, number=1, clock=process_time)
    return Pair(_net(mine, plain), _net(others, plain))


def _net(times: Sequence[float], plain: Sequence[float]) -> list[float]:
    return [(each - none) / _REQUESTS for each, none in zip(times, plain, strict=True)]


def _served(app: Callable[..., Any], path: str, authorization: str | None = None) -> Callable[[], int]:
    """Return what has a WSGI app answer requests in a row, and returns the last one's status."""
    base: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": ""}
    setup_testing_defaults(base)
    if authorization is not None:
        base["HTTP_AUTHORIZATION"] = authorization

    def serve() -> int:
        statuses: list[str] = []
        for _ in range(_REQUESTS):
            body = app(base.copy(), lambda status, *_: statuses.append(status))
            b"".join(body)
            getattr(body, "close", _nothing)()
        return int(statuses[-1][:3])

    return serve


def _nothing() -> None:
    pass


def _expect(status: int, *acts: Callable[[], int]) -> None:
    """Hold both sides to the same answers, lest one of them be fast for checking nothing."""
    found = [act() for act in acts]
    if set(found) != {status}:
        raise RuntimeError(f"{found} in the place of {status}")


def _flask(setting: Setting, manager: SessionManager, verifier: Verifier) -> Iterator[Result]:
    import flask
    import flask_jwt_extended as peer
    from cryptography.hazmat.primitives.asymmetric import ec

    from clawguard.web.flask import Clawguard

    key = ec.generate_private_key(ec.SECP256R1())
    blocklist = _blocklist(setting.path("web-peers-flask"))

    def made(guarded: Callable[[Any], Any] = lambda view: view) -> flask.Flask:
        app = flask.Flask("bench")
        app.add_url_rule("/", view_func=guarded(lambda: "ok"))
        return app

    bare, ours, theirs = made(), made(), made(peer.jwt_required())
    Clawguard(ours, verifier, require="docs:read")
    theirs.config |= {"JWT_ALGORITHM": "ES256", "JWT_PRIVATE_KEY": key, "JWT_PUBLIC_KEY": key.public_key()}
    extension = peer.JWTManager(theirs)

    def is_blocked(_header: Any, claims: Any) -> bool:
        found = blocklist.execute("SELECT 1 FROM blocklist WHERE jti = ?", (claims["jti"],)).fetchone()
        return found is not None

    extension.token_in_blocklist_loader(is_blocked)
    with theirs.app_context():
        token = peer.create_access_token("planner", additional_claims={"scope": SCOPES})
        jti = peer.get_jti(token)
    session = manager.create("planner", scopes=SCOPES)
    mine = _served(ours, "/", f"Bearer {session.token}")
    peers = _served(theirs, "/", f"Bearer {token}")
    _expect(200, mine, peers)
    pair = _added(setting, mine, peers, _served(bare, "/"))
    manager.revoke(session)
    blocklist.execute("INSERT INTO blocklist VALUES (?)", (jti,))
    _expect(401, mine, peers)
    blocklist.close()
    yield pair.against("Flask: a request's check, to flask-jwt-extended with a blocklist", 1 / 5, "part")


def _blocklist(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE blocklist (jti TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.executemany("INSERT INTO blocklist VALUES (?)", ((f"jti-{each}",) for each in range(1_000)))
    return connection


def _django(setting: Setting, manager: SessionManager, verifier: Verifier) -> Iterator[Result]:
    import rest_framework_simplejwt  # noqa: F401  # where it is absent nothing is set up
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
    _set_up_django(setting.path("web-peers-django"), pem, key.public_key())

    from django.contrib.auth.models import User
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path
    from rest_framework.views import APIView
    from rest_framework_simplejwt.authentication import JWTAuthentication
    from rest_framework_simplejwt.tokens import AccessToken

    from clawguard.web.drf import ClawguardAuthentication, requires_scopes

    class View(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, _request: Any) -> HttpResponse:
            return HttpResponse("ok")

    def view(name: str, authentication: Any = None, permission: Any = None) -> Any:
        chosen = {"authentication_classes": (authentication,), "permission_classes": (permission,)}
        return path(name, View.as_view(**(chosen if authentication else {})))

    from rest_framework.permissions import IsAuthenticated

    user = User.objects.create(username="planner")
    token = AccessToken.for_user(user)
    session = manager.create("planner", scopes=SCOPES)
    routes = (
        view("bare"),
        view("ours", ClawguardAuthentication, requires_scopes("docs:read")),
        view("theirs", JWTAuthentication, IsAuthenticated),
    )
    with override_settings(ROOT_URLCONF=routes):
        plain = WSGIHandler()
        with override_settings(
            MIDDLEWARE=["clawguard.web.django.ClawguardMiddleware"], CLAWGUARD={"verifier": verifier}
        ):
            guarded = WSGIHandler()
        mine = _served(guarded, "/ours", f"Bearer {session.token}")
        peers = _served(plain, "/theirs", f"Bearer {token}")
        _expect(200, mine, peers)
        pair = _added(setting, mine, peers, _served(plain, "/bare"))
        manager.revoke(session)
        User.objects.update(is_active=False)
        _expect(401, mine, peers)
    yield pair.against("Django REST: the same, to simplejwt, which reads the user", 1 / 5, "part")


def _set_up_django(path: Path, signing: str, verifying: Any) -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "CONN_MAX_AGE": None}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
        SECRET_KEY="x",
        SIMPLE_JWT={"ALGORITHM": "ES256", "SIGNING_KEY": signing, "VERIFYING_KEY": verifying},
        USE_I18N=False,
    )
    django.setup()
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    call_command("migrate", verbosity=0)


def _fastapi(setting: Setting, manager: SessionManager, verifier: Verifier) -> Iterator[Result]:

    from fastapi import Depends, FastAPI, Security

    from clawguard.web.fastapi import ClawguardBearer

    from .web_peers_users import Users

    def made(*dependencies: Any) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.get("/", dependencies=dependencies)
        async def answer() -> str:
            return "ok"

        return app

    with asyncio.Runner() as runner:
        users = Users(setting.path("web-peers-fastapi"))
        token = runner.run(users.sign_in())
        session = manager.create("planner", scopes=SCOPES)
        guard = ClawguardBearer(verifier)

        def served(app: FastAPI, authorization: str = "") -> Callable[[], int]:
            return lambda: runner.run(_serve(app, authorization))

        mine = served(made(Security(guard, scopes=["docs:read"])), f"Bearer {session.token}")
        peers = served(made(Depends(users.current)), f"Bearer {token}")
        _expect(200, mine, peers)
        pair = _added(setting, mine, peers, served(made()))
        manager.revoke(session)
        runner.run(users.sign_out(token))
        _expect(401, mine, peers)
        runner.run(users.close())
    yield pair.against("FastAPI: the same, to fastapi-users with its database strategy", 1 / 10, "part")


async def _serve(app: Any, authorization: str) -> int:
    headers: Sequence[tuple[bytes, bytes]] = [
        (b"host", b"127.0.0.1"),
        (b"authorization", authorization.encode()),
    ]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.append(message["status"])

    for _ in range(_REQUESTS):
        await asyncio.create_task(app({**scope, "client": ("127.0.0.1", 1)}, receive, send))
    return statuses[-1]
