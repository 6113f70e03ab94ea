"""Where a broker is missing a test is skipped, and says so; where CI is to have it, the test fails."""

from __future__ import annotations

import pytest

from tests import servers


@pytest.fixture(autouse=True)
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS", "NATS"):
        monkeypatch.setattr(servers, name, servers.free_port())
    monkeypatch.setenv("PATH", "")


def test_a_test_without_its_broker_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"needs Redis at 127.0.0.1:{servers.REDIS}"):
        servers.redis_url()
    with pytest.raises(pytest.skip.Exception, match=f"needs NATS with JetStream at 127.0.0.1:{servers.NATS}"):
        servers.nats_url()


def test_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    for url in (servers.redis_url, servers.nats_url):
        with pytest.raises(pytest.fail.Exception, match="CI is to have"):
            url()
