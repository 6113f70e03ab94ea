"""A Django site with REST framework, its settings, its database and its view, for whoever needs one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .measures import Measure

__all__ = ["at_level", "handler", "set_up", "view"]

_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"


def set_up(path: Path, *, apps: Iterable[str] = (), **settings: Any) -> None:
    """Set Django up, once in a process, with one connection that stays open."""
    import django
    from django.conf import settings as configured
    from django.core.management import call_command

    configured.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": path,
                "CONN_MAX_AGE": None,
                "OPTIONS": {"init_command": _PRAGMAS, "transaction_mode": "IMMEDIATE"},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *apps],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
        SECRET_KEY="x" * 50,
        USE_I18N=False,
        USE_TZ=True,
        **settings,
    )
    django.setup()
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    call_command("migrate", verbosity=0)


def at_level(loop: Measure, *, power_safe: bool) -> Measure:
    """Measure with commits that wait for the disk, or with such that do not, as clawguard's do."""
    from django.db import connection

    level = "FULL" if power_safe else "NORMAL"

    def measure(seconds: float) -> float:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous = {level}")
        return loop(seconds)

    return measure


def view(name: str, authentication: Any = None, permission: Any = None) -> Any:
    """Return a route to a view, guarded or bare."""
    from django.http import HttpResponse
    from django.urls import path
    from rest_framework.views import APIView

    class View(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, _request: Any) -> HttpResponse:
            return HttpResponse("ok")

    chosen = {"authentication_classes": (authentication,), "permission_classes": (permission,)}
    return path(name, View.as_view(**(chosen if authentication else {})))


def handler() -> Any:
    """Return the WSGI app, as the settings are now."""
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()
