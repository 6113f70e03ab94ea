"""Django: settings, views of both kinds, and streams that end with their session."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.test import override_settings

from clawguard import SessionManager, current_session
from clawguard.errors import InvalidArgument, SessionEnded
from clawguard.sessions.current import bound_session_id
from tests.held import hold_reads
from tests.openers import open_manager
from tests.schemas import schema
from tests.web.adapters import Sent, over_asgi, over_wsgi
from tests.web.django_site import STREAMS, asgi_site, wsgi_site
from tests.web.test_asgi import run_alone

LONG = 30.0


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def sent(manager: SessionManager, path: str) -> Sent:
    return Sent(tuple(manager.create("planner", scopes="").headers().items()), path=path)


def test_views_of_both_kinds_have_the_session_under_both_servers(manager: SessionManager) -> None:
    for ask in (over_wsgi(wsgi_site(manager)), over_asgi(asgi_site(manager))):
        for path in ("/whoami", "/async/whoami"):
            assert ask(sent(manager, path)).body == b"planner"


def test_the_verifier_may_be_made_by_what_the_settings_name(manager: SessionManager) -> None:
    ask = over_wsgi(wsgi_site(lambda: manager))
    assert ask(sent(manager, "/whoami")).status == 200
    with pytest.raises(ImportError):
        wsgi_site("tests.web.nowhere.verifier")


@pytest.mark.parametrize("options", [{"requires": "docs:read"}, {"verify": True}])
def test_a_setting_that_is_none_is_refused(manager: SessionManager, options: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"settings\.CLAWGUARD"):
        wsgi_site(manager, **options)


def test_a_view_that_runs_when_its_session_ends_is_cancelled_and_answered(manager: SessionManager) -> None:
    async def wait() -> None:
        manager.revoke(current_session())
        await asyncio.sleep(LONG)

    STREAMS["wait"] = wait
    assert over_asgi(asgi_site(manager))(sent(manager, "/wait")).status == 401


def test_a_plain_stream_breaks_off_when_its_session_ends(manager: SessionManager) -> None:
    def parts() -> Iterator[str]:
        yield current_session().agent_id
        manager.revoke(current_session())
        yield "late"

    STREAMS["parts"] = parts
    with pytest.raises(SessionEnded):
        over_wsgi(wsgi_site(manager))(sent(manager, "/stream"))


@pytest.mark.parametrize("waits", [0, LONG])
def test_an_async_stream_breaks_off_when_its_session_ends(manager: SessionManager, waits: float) -> None:
    async def parts() -> AsyncIterator[str]:
        yield current_session().agent_id
        manager.revoke(current_session())
        await asyncio.sleep(waits)
        yield "late"

    STREAMS["parts"] = parts
    answer = run_alone(manager, asgi_site(manager), {"type": "http.request"}, path="/stream")
    assert [each["body"] for each in answer if "body" in each] == [b"planner"]
    assert isinstance(answer.pop()["error"], SessionEnded)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # of a response that broke, Django closes no body file
        gc.collect()


def test_while_a_server_reads_a_stream_the_loop_turns_on() -> None:
    async def parts() -> AsyncIterator[str]:
        yield "one "
        await (await hold_reads(url))
        yield "two"

    STREAMS["parts"] = parts
    with schema() as url, open_manager(url) as manager:
        assert over_asgi(asgi_site(manager))(sent(manager, "/stream")).body == b"one two"


@pytest.mark.parametrize("make", [wsgi_site, asgi_site])
def test_a_stream_of_one_part_is_an_answer_that_comes_at_once(manager: SessionManager, make: Any) -> None:
    over = over_wsgi if make is wsgi_site else over_asgi

    def part() -> Iterator[str]:
        yield "once"

    async def async_part() -> AsyncIterator[str]:
        yield "once"

    STREAMS["parts"] = part if make is wsgi_site else async_part
    session = manager.create("planner", scopes="", max_uses=1)
    assert over(make(manager))(Sent(tuple(session.headers().items()), path="/stream")).body == b"once"


@pytest.mark.parametrize("make", [wsgi_site, asgi_site])
def test_nobodys_stream_is_nobodys_to_its_end(manager: SessionManager, make: Any) -> None:
    over = over_wsgi if make is wsgi_site else over_asgi

    def parts() -> Iterator[str]:
        yield str(bound_session_id())

    async def async_parts() -> AsyncIterator[str]:
        yield str(bound_session_id())

    STREAMS["parts"] = parts if make is wsgi_site else async_parts
    with manager.use(manager.create("host", scopes="").token):
        assert over(make(manager, optional=True))(Sent(path="/stream")).body == b"None"
        assert bound_session_id() is not None


def test_a_plain_middleware_that_stands_before_keeps_no_view_from_being_cancelled(
    manager: SessionManager,
) -> None:
    async def wait() -> None:
        manager.revoke(current_session())
        await asyncio.sleep(LONG)

    STREAMS["wait"] = wait
    order = ["tests.web.django_site.plain_middleware", "clawguard.web.django.ClawguardMiddleware"]
    with override_settings(MIDDLEWARE=order):
        assert over_asgi(asgi_site(manager))(sent(manager, "/wait")).status == 401


def test_a_stream_that_comes_to_its_end_is_whole(manager: SessionManager) -> None:
    async def parts() -> AsyncIterator[str]:
        for part in "abc":
            yield part

    STREAMS["parts"] = parts
    assert over_asgi(asgi_site(manager))(sent(manager, "/stream")).body == b"abc"
    STREAMS["parts"] = lambda: iter("abc")
    assert over_wsgi(wsgi_site(manager))(sent(manager, "/stream")).body == b"abc"
