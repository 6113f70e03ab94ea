"""Readers of foreign text: any bytes give an error of the reader's own kind, or what comes back the same."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from clawguard.guard import proofs
from clawguard.server import forms
from clawguard.server.forms import OAuthError
from tests.fuzz.corpus import inputs_of, mutations
from tests.fuzz.targets import TARGETS

_MUTATIONS = {"transcripts": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_has_found_is_read_as_it_must_be(name: str) -> None:
    run_all(name)


@pytest.mark.parametrize("name", TARGETS)
def test_near_it_too(name: str) -> None:
    for data in mutations(inputs_of(name), _MUTATIONS.get(name, 400), seed=20_260_922):
        TARGETS[name].run(data)


def run_all(name: str) -> None:
    for data in inputs_of(name):
        TARGETS[name].run(data)


def test_a_proof_that_is_good_beside_any_token_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "_is_of", lambda *_: True)
    with pytest.raises(AssertionError, match="another token"):
        run_all("proofs")


def test_a_form_that_is_read_loosely_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "parse_qsl", lambda text, **given: parse_qsl(text.lower(), **given))
    with pytest.raises(AssertionError, match="another value"):
        run_all("forms")


def test_an_error_that_says_what_was_sent_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str, **_: object) -> None:
        raise OAuthError("invalid_request", f"the form is malformed: {text}")

    monkeypatch.setattr(forms, "parse_qsl", refuse)
    with pytest.raises(AssertionError, match="what was sent"):
        run_all("forms")
