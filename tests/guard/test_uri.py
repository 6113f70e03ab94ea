"""URIs as they are compared: one form for all that mean the same, none for what is no request's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard.guard import normal_uri

PLAIN = "https://api.example.com/a/b"


@pytest.mark.parametrize(
    "twin",
    [
        "HTTPS://API.example.COM/a/b",
        "https://api.example.com:443/a/b",
        "https://api.example.com:/a/b",
        "https://api.example.com/a/b?x=1#y",
        "https://api.example.com/%61/b",
    ],
)
def test_twins_have_one_form(twin: str) -> None:
    assert normal_uri(twin) == PLAIN


@pytest.mark.parametrize(
    "other",
    [
        "http://api.example.com/a/b",
        "https://api.example.com:444/a/b",
        "https://api.example.com/a/b/",
        "https://api.example.com/a//b",
        "https://api.example.com/A/b",
        "https://api.example.com/a%2Fb",
        "https://api.example.com./a/b",
        "https://example.com/a/b",
        "https://api.example.com/a/b%20",
        "https://api.example.com/a/b%3F",
    ],
)
def test_another_place_has_another(other: str) -> None:
    assert normal_uri(other) not in (PLAIN, None)


def test_what_a_path_holds_as_it_is_may_be_escaped() -> None:
    assert normal_uri("https://a/ana%40b/1%3A2%2C%27%21~%7e") == normal_uri("https://a/ana@b/1:2,'!~~")


@pytest.mark.parametrize("path", ["/.", "/..", "/a/../b", "/a/./b", "/a/%2e%2E/b", "/a/.%2e", "/%2e/"])
def test_dot_segments_have_none_for_servers_differ_on_them(path: str) -> None:
    assert normal_uri(f"https://a{path}") is None
    assert normal_uri(f"https://a{path.replace('.', '...').replace('%2e', '%2e..').replace('%2E', '..')}")


def test_a_bare_host_is_its_root() -> None:
    assert normal_uri("http://[::1]:80") == "http://[::1]/"
    assert normal_uri("http://a?x") == normal_uri("http://a/") == "http://a/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a/b",
        "api.example.com/a",
        "ftp://a/b",
        "https:///a",
        "https://user@a/b",
        "https://user:word@a/b",
        "https://a b/",
        "https://a/\n",
        "https://a/\x00",
        "https://a/é",
        "https://é/",
        "https://a:99999/",
        "https://a:x/",
        "https://a:0443/",
        "https://[::1/",
        "https://a/%zz",
        "https://a/%4",
        "https://a\\b/",
        None,
        7,
        b"https://a/",
    ],
)
def test_what_is_no_request_has_none(text: object) -> None:
    assert normal_uri(text) is None


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z.:\[\]%/?#@]{1,30}", fullmatch=True))
def test_the_form_is_its_own_form(text: str) -> None:
    normal = normal_uri(text)
    assert normal is None or normal_uri(normal) == normal


def test_escapes_are_written_in_capitals() -> None:
    assert normal_uri("https://a/%e9%2f") == "https://a/%E9%2F"
