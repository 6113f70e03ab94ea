"""What every relay does alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clawguard.errors import ReceiverUnavailable
from clawguard.relays.base import Relay
from clawguard.relays.nats import NatsRelay
from clawguard.relays.redis import RedisRelay
from clawguard.relays.webhook import WebhookRelay
from tests.relays.scene import some_events
from tests.webhooks import SECRET

Made = RedisRelay | NatsRelay | WebhookRelay


def hook() -> WebhookRelay:
    return WebhookRelay("http://127.0.0.1/", secret=SECRET)


@pytest.mark.parametrize("make", [RedisRelay, NatsRelay, hook])
def test_a_relay_is_closed_at_the_end_of_its_block(make: Callable[[], Made]) -> None:
    relay = make()
    assert isinstance(relay, Relay)
    with relay as entered:
        assert entered is relay
    with pytest.raises(ReceiverUnavailable, match="closed"):
        relay(some_events(1)[0])
