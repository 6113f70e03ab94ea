"""Following the log of a server: each event once, as it comes, over whatever happens on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import pytest

from clawguard import InvalidToken
from clawguard.cli.remote import RemoteHost
from clawguard.errors import ConfigError, StoreUnavailable
from tests.openers import open_manager
from tests.server.hostile import Hostile
from tests.server.scene import Scene
from tests.webhooks import rough

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
REFUSED = b'{"code": "invalid_token", "detail": "it is not valid"}'
LOST = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%b" % (len(REFUSED), REFUSED)


def chunk(text: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text.encode())


class Stream:
    """Be a server whose answers are listed; `afters` holds behind which event each was asked for."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.server = Hostile()
        self.server.answer = self._next

    def _next(self, _: dict[str, Any]) -> bytes:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    @property
    def afters(self) -> list[int]:
        return [int(re.findall(r"after=(\d+)", each.path)[0]) for each in self.server.asked]


@pytest.fixture(scope="module")
def event() -> dict[str, Any]:
    with open_manager() as manager:
        told: dict[str, Any] = Scene(manager).get("/v1/events").json()["items"][0]
        return told


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawguard.cli.remote._LOOK_AGAIN", 0.0)


def lines(event: dict[str, Any], *seqs: int) -> bytes:
    return b"".join(chunk(json.dumps(event | {"seq": seq}) + "\n") for seq in seqs)


def followed(stream: Stream) -> Iterator[int]:
    with rough(stream.server.talk) as at, closing(RemoteHost(at.url, "t.o.k", timeout=30)) as host:
        for found in host.events.follow(after=4):
            yield found.seq


def test_a_stream_that_is_cut_is_taken_up_behind_its_last_whole_line(event: dict[str, Any]) -> None:
    half = HEAD + lines(event, 5, 6) + chunk('{"seq": 7, "ty')
    stream = Stream(half, HEAD + chunk("\n") + lines(event, 7) + END, HEAD + lines(event, 9))
    assert list(islice(followed(stream), 4)) == [5, 6, 7, 9]
    assert stream.afters == [4, 6, 7]


def test_whose_session_has_ended_meanwhile_is_told_so(event: dict[str, Any]) -> None:
    stream = Stream(HEAD + lines(event, 5), LOST)
    found = followed(stream)
    assert next(found) == 5
    with pytest.raises(InvalidToken):
        next(found)


def test_a_server_that_does_not_come_back_is_given_up(
    event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawguard.cli.remote._PATIENCE", 0.0)
    stream = Stream(HEAD + lines(event, 5), b"")
    found = followed(stream)
    assert next(found) == 5
    with pytest.raises(StoreUnavailable):
        next(found)


@pytest.mark.parametrize("seqs", [(5, 5), (4,), (6, 5), (2**53,)])
def test_attack_a_stream_that_does_not_go_forward_is_left(event: dict[str, Any], seqs: tuple[int]) -> None:
    with pytest.raises(ConfigError, match="something else"):
        list(followed(Stream(HEAD + lines(event, *seqs) + END)))


@pytest.mark.parametrize(
    "said", [HEAD + b"ffffff\r\n" + b"x" * 1_000, HEAD + chunk("[]\n"), HEAD + chunk("x\n")]
)
def test_attack_what_is_no_line_of_json_is_none(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawguard.cli.remote._PATIENCE", 0.0)
    with pytest.raises(StoreUnavailable):
        list(followed(Stream(said)))


def test_attack_a_line_that_never_ends_holds_nobody(
    event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes byte by byte: what counts is the time that the whole line takes."""
    monkeypatch.setattr("clawguard.cli.remote._SILENCE", 0.5)
    monkeypatch.setattr("clawguard.cli.remote._PATIENCE", 0.0)

    def drip(connection: Any) -> None:
        connection.recv(65_536)
        connection.sendall(HEAD)
        while True:
            connection.sendall(chunk(" "))

    with (
        rough(drip) as at,
        closing(RemoteHost(at.url, "t.o.k", timeout=30)) as host,
        pytest.raises(StoreUnavailable),
    ):
        next(host.events.follow(after=0))
