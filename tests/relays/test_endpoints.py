"""Where a webhook may be sent: over TLS, or to this machine; and nothing of a URL shows but its host."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawguard import InvalidArgument
from clawguard.relays.endpoints import parse_endpoint

HIDDEN = "T0PSECRET"


def refusal(url: Any) -> InvalidArgument:
    with pytest.raises(InvalidArgument, match=r"^url: ") as caught:
        parse_endpoint(url)
    assert HIDDEN not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    return caught.value


@pytest.mark.parametrize(
    ("url", "authority", "target", "port"),
    [
        ("https://hooks.example.com", "hooks.example.com", "/", 443),
        ("HTTPS://Hooks.Example.com:443/a/b?c=d&e", "hooks.example.com", "/a/b?c=d&e", 443),
        ("https://hooks.example.com:8443/%7Ea/..;x", "hooks.example.com:8443", "/%7Ea/..;x", 8443),
        ("https://hooks.example.com?q", "hooks.example.com", "/?q", 443),
        ("https://192.0.2.7/", "192.0.2.7", "/", 443),
        ("https://[2001:DB8::7]:444/", "[2001:db8::7]:444", "/", 444),
        ("http://127.0.0.1:8080/hook", "127.0.0.1:8080", "/hook", 8080),
        ("http://127.255.0.9", "127.255.0.9", "/", 80),
        ("http://[::1]:80/", "[::1]", "/", 80),
        ("http://LOCALHOST:8080/", "localhost:8080", "/", 8080),
    ],
)
def test_a_url_is_taken_apart_as_a_request_says_it(url: str, authority: str, target: str, port: int) -> None:
    endpoint = parse_endpoint(url)
    assert (endpoint.authority, endpoint.target, endpoint.port) == (authority, target, port)


@pytest.mark.parametrize(
    "host",
    [
        "hooks.example.com", "192.0.2.7", "10.0.0.1", "169.254.169.254", "[2001:db8::7]", "0.0.0.0", "[::]",
        "localhost.", "localhost.example.com", "a.localhost", "127.1", "127.0.0.1.", "2130706433",
        "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1%25lo]", "127.0.0.1.nip.io",
        "128.0.0.1", "126.255.255.255",
    ],
)  # fmt: skip
def test_attack_clear_text_is_for_this_machine_alone(host: str) -> None:
    assert "https" in str(refusal(f"http://{host}/{HIDDEN}")) or "no host" in str(refusal(f"http://{host}/"))


@pytest.mark.parametrize(
    "url",
    [
        None, 7, b"https://a.example/", "", "a.example/hook", "//a.example/", "https:", "https://", "https:///x",
        "ftp://a.example/", "file:///etc/passwd", "unix:///run/hook", "https:a.example",
        "https://a.example:0/", "https://a.example:65536/", "https://a.example:x/", "https://a.example:-1/",
        "https://[::1/", "https://[a.example]/", "https://[::1%25eth0]/", "https://a..example/",
        "https://-a.example/", "https://a.example-/", f"https://{'a' * 64}.example/", "https://.example/",
        f"https://{'a.' * 127}example/", "https://b\u00fccher.example/", "https://a.example/\u00fc",
        f"https://a.example/{'a' * 2_048}", "https://%61.example/", "https://a_b..c/",
        "https://[::1]evil/", "https://[::1]evil:443/", "https://[v1.a]/", "https://[192.0.2.7]/", "https://[]/",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_webhook_is_refused(url: Any) -> None:
    refusal(url)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{HIDDEN}@a.example/",
        f"https://{HIDDEN}@a.example/",
        f"https://a.example:{HIDDEN}/",
        f"https://[{HIDDEN}]/",
        f"https://a.example\\@b.example/{HIDDEN}",
        f"https://a.example/#{HIDDEN}",
        f"https://a.example/{HIDDEN}#",
        f"https://a.example/{HIDDEN}\r\nX-Injected: 1",
        f"https://a.example/{HIDDEN}\n",
        f"\thttps://a.example/{HIDDEN}",
        f"https://a.example/{HIDDEN}\x00",
        f"https://a.example/{HIDDEN} HTTP/1.1",
        f"https://a.exa\tmple/{HIDDEN}",
        f"https://a.example/\x7f{HIDDEN}",
        f"https://a.example/\u2028{HIDDEN}",
    ],
)
def test_attack_credentials_fragments_and_control_characters_in_a_url(url: str) -> None:
    refusal(url)


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z0-9.:\[\]%/?#@\\_-]{1,40}", fullmatch=True))
@example("http://127.0.0.1:80")
@example("https://a?b?c")
def test_whatever_is_taken_is_safe_to_send_to(url: str) -> None:
    try:
        endpoint = parse_endpoint(url)
    except InvalidArgument:
        return
    assert endpoint.scheme == "https" or all(ip_address(each).is_loopback for each in endpoint.addresses)
    assert endpoint.scheme == "https" or endpoint.addresses
    assert endpoint.target.startswith("/")
    for text in (endpoint.authority, endpoint.target, str(endpoint)):
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set(" #\\")
    assert "@" not in endpoint.authority
    assert 0 < endpoint.port < 65_536


def test_of_an_endpoint_only_scheme_and_host_are_told() -> None:
    endpoint = parse_endpoint(f"https://a.example:8443/{HIDDEN}?key={HIDDEN}")
    assert (str(endpoint), repr(endpoint)) == ("https://a.example", "Endpoint('https://a.example')")
    assert str(parse_endpoint("http://[::1]:8080/")) == "http://[::1]"
