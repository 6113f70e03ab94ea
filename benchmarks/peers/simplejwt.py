"""djangorestframework-simplejwt: ES256, with its blacklist app; rotated refresh tokens are blacklisted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from .django_app import at_level, handler, set_up, view
from .measures import Works, added, calls, consuming, expect
from .requests import wsgi

__all__ = ["works"]


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Issue, look up, revoke, rotate, and guard a request."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
    jwt = {
        "ALGORITHM": "ES256",
        "SIGNING_KEY": pem,
        "VERIFYING_KEY": key.public_key(),
        "ROTATE_REFRESH_TOKENS": True,
        "BLACKLIST_AFTER_ROTATION": True,
    }
    set_up(folder / "site.db", apps=["rest_framework_simplejwt.token_blacklist"], SIMPLE_JWT=jwt)

    from django.contrib.auth.models import User
    from django.test import override_settings
    from rest_framework.permissions import IsAuthenticated
    from rest_framework_simplejwt.authentication import JWTAuthentication
    from rest_framework_simplejwt.exceptions import TokenError
    from rest_framework_simplejwt.serializers import TokenRefreshSerializer
    from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

    user, gone = (User.objects.create(username=name) for name in ("planner", "gone"))

    def issue() -> str:
        return str(RefreshToken.for_user(user))

    def look_up(token: str) -> bool:
        try:
            return bool(RefreshToken(token))
        except TokenError:
            return False

    def revoke(token: str) -> None:
        RefreshToken(token).blacklist()

    def rotate(token: str) -> str:
        serializer = TokenRefreshSerializer(data={"refresh": token})
        serializer.is_valid(raise_exception=True)
        return str(serializer.validated_data["refresh"])

    token, revoked, rotated = issue(), issue(), issue()
    revoke(revoked)
    answers = [look_up(each) for each in (token, revoked, rotate(rotated), rotated)]
    expect("what the blacklist lets pass", found=answers, expected=[True, False, True, False])
    access, outdated = (str(AccessToken.for_user(each)) for each in (user, gone))
    User.objects.filter(pk=gone.pk).update(is_active=False)
    routes = (view("bare"), view("guarded", JWTAuthentication, IsAuthenticated))
    with override_settings(ROOT_URLCONF=routes):
        app = handler()
        statuses = [wsgi(app, "/guarded", each)() for each in (access, outdated)]
        expect("answers of the Django site", found=statuses, expected=[200, 401])
        yield {
            "issue": at_level(calls(issue), power_safe=False),
            "look_up": calls(lambda: look_up(token)),
            "revoke": at_level(consuming(issue, revoke), power_safe=True),
            "rotate": at_level(consuming(issue, rotate), power_safe=True),
            "request": added(
                partial(calls, wsgi(app, "/guarded", access)), partial(calls, wsgi(app, "/bare"))
            ),
        }
