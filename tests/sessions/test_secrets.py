"""Secrets stay where they are: in no repr, dump, copy, pickle, error, event or log line."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle

import pytest

from clawguard import ClawguardError, IssuedSession, Session
from tests.openers import KEK, open_manager


def test_an_issued_session_shows_its_token_only_where_it_is_asked_for() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        assert made.headers() == {"Authorization": f"Bearer {made.token}"}
        assert made.environ() == {"CLAWGUARD_TOKEN": made.token}
        signature = made.token.rpartition(".")[2]
        texts = [
            repr(made),
            str(made),
            f"{made}",
            json.dumps(made.to_dict()),
            repr(dataclasses.asdict(made)),
            repr(made.as_context()),
            repr(manager),
            repr(manager.inspect(made.token)),
        ]
        assert not any(signature in text or made.jti in text for text in texts[:4] + texts[5:7])
        assert not any(signature in text for text in texts)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_or_a_copy_is_a_plain_session(protocol: int) -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x", metadata={"a": 1})
        dumped = pickle.dumps(made, protocol)
        assert made.token.encode() not in dumped
        for twin in (pickle.loads(dumped), copy.copy(made), copy.deepcopy(made)):
            assert type(twin) is Session
            assert not isinstance(twin, IssuedSession)
            assert twin == manager.get_session(made.id)
            assert not hasattr(twin, "token")


def test_keys_show_nothing_and_refuse_to_be_pickled() -> None:
    with open_manager() as manager:
        ring = manager._parts.guard.ring
        signer = ring.require_signer()
        kek = manager._parts.keychain.kek
        texts = [
            repr(each) for each in (ring, signer, signer.verifying, kek, manager.keys.list(), manager._parts)
        ]
        private = signer.private_bytes()
        for secret in (private.hex(), repr(private)[2:-1], KEK.hex(), repr(KEK)[2:-1]):
            assert not any(secret in text for text in texts)
        for each in (signer, kek):
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(each)
            with pytest.raises(TypeError, match="copied"):
                copy.copy(each)


def test_no_refusal_event_or_log_line_holds_a_token(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[ClawguardError] = []
    with caplog.at_level(logging.DEBUG), open_manager() as manager:
        made = manager.create("a", scopes="x")
        renewed = manager.refresh(made)
        manager.revoke(made, reason="leaked")
        tokens = [made.token, renewed.token, made.token[:-1], made.token + "x"]
        for token in tokens:
            for call in (manager.validate, manager.revoke, manager.refresh, manager.get_session):
                with pytest.raises(ClawguardError) as refusal:
                    call(token)
                errors.append(refusal.value)
            manager.inspect(token)
        manager.prune_expired()
        events = json.dumps([each.to_dict() for each in manager.events.read(limit=1_000)])
    told = events + caplog.text + "".join(f"{each!r}{each}{vars(each)}" for each in errors)
    for token in tokens:
        for part in token.split(".")[1:]:
            assert part not in told
    assert all(each.__context__ is None or each.__suppress_context__ for each in errors)
