"""The metadata of a protected resource, and where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from clawguard import SessionManager
from clawguard.errors import InvalidArgument
from clawguard.web.metadata import metadata_url, resource_metadata
from clawguard.web.wsgi import ClawguardMiddleware
from tests.web.test_wsgi import whoami


def test_the_document_says_which_tokens_are_taken() -> None:
    assert resource_metadata(
        "https://api.example.com/notes",
        authorization_servers=["https://login.example.com"],
        scopes="notes:write notes:read",
    ) == {
        "resource": "https://api.example.com/notes",
        "authorization_servers": ["https://login.example.com"],
        "scopes_supported": ["notes:read", "notes:write"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "RS256"],
    }


def test_what_is_empty_is_left_out() -> None:
    found = resource_metadata("https://api.example.com")
    assert found.keys() == {"resource", "bearer_methods_supported", "dpop_signing_alg_values_supported"}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource"),
        ("https://api.example.com/a/b", "https://api.example.com/.well-known/oauth-protected-resource/a/b"),
        ("https://api.example.com/a/", "https://api.example.com/.well-known/oauth-protected-resource/a"),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/.well-known/oauth-protected-resource/a"),
    ],
)
def test_the_well_known_part_stands_between_host_and_path(resource: str, expected: str) -> None:
    assert metadata_url(resource) == expected


NO_URLS: list[Any] = [
    "",
    "api.example.com",
    "ftp://a/",
    "https://a/?b",
    "https://a/#b",
    "https://u@a/",
    None,
    7,
]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_is_refused(url: Any) -> None:
    with pytest.raises(InvalidArgument, match="resource"):
        metadata_url(url)
    with pytest.raises(InvalidArgument, match="resource"):
        resource_metadata(url)
    with pytest.raises(InvalidArgument, match="authorization_servers"):
        resource_metadata("https://a/", authorization_servers=[url])


@pytest.mark.parametrize(
    "url", ["", "x", 'https://a/"', "https://a/\\", "https://a/\r\nX: y", "https://a/?b"]
)
def test_attack_102_a_url_that_breaks_out_of_the_challenge(url: str) -> None:
    with (
        SessionManager.open(":memory:", sweep_every=None) as manager,
        pytest.raises(InvalidArgument, match="resource_metadata"),
    ):
        ClawguardMiddleware(whoami, manager, resource_metadata=url)
