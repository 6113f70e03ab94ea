"""Bound tokens over HTTP: the DPoP scheme, its one proof, certificates, and no way down to Bearer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from clawguard import IssuedSession, SessionManager
from clawguard.errors import InvalidArgument, InvalidProof, StoreBusy
from clawguard.guard import CertificateProof, DPoPProof, ProofKey
from clawguard.web.bearer import Credential, Refusal, read_credential, refusal_for
from clawguard.web.wsgi import ClawguardMiddleware
from tests.certificates import certificate
from tests.web.test_wsgi import Answer, ask, whoami

ALGS = 'DPoP algs="ES256 EdDSA RS256"'
INVALID_PROOF = f'{ALGS}, error="invalid_dpop_proof"'
URL = "http://127.0.0.1/mail/a%20b"


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


@pytest.fixture
def key() -> ProofKey:
    return ProofKey.generate()


@pytest.fixture
def bound(manager: SessionManager, key: ProofKey) -> IssuedSession:
    return manager.create("planner", scopes="docs:read", cnf=key.cnf)


def send(app: Any, authorization: str, dpop: str | None = None, **environ: str) -> Answer:
    proof = {} if dpop is None else {"HTTP_DPOP": dpop}
    return ask(app, **{"HTTP_AUTHORIZATION": authorization, "PATH_INFO": "/mail/a b", **proof, **environ})


def verdict(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.headers.get("WWW-Authenticate")


def test_a_bound_token_comes_through_with_its_proof(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    app = ClawguardMiddleware(whoami, manager, require="docs:read")
    for scheme in ("DPoP", "dpop"):
        proof = key.proof(method="GET", url=URL, token=bound.token)
        answer = send(app, f"{scheme} {bound.token}", proof, QUERY_STRING="x=1")
        assert (answer.status, answer.body) == (200, b"planner")


def test_the_streamed_parts_of_an_answer_need_no_further_proof(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    def stream(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"a", b"b"])

    proof = key.proof(method="GET", url=URL, token=bound.token)
    assert send(ClawguardMiddleware(stream, manager), f"DPoP {bound.token}", proof).body == b"ab"


def test_attack_58_a_bound_token_sent_as_bearer(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    app = ClawguardMiddleware(whoami, manager)
    proof = key.proof(method="GET", url=URL, token=bound.token)
    refused = (401, f'Bearer realm="clawguard", error="invalid_token", {ALGS}')
    assert verdict(send(app, f"Bearer {bound.token}")) == refused
    assert verdict(send(app, f"Bearer {bound.token}", proof)) == refused
    assert send(app, f"DPoP {bound.token}", proof).status == 200  # it was not used up


def test_attack_59_whatever_is_wrong_with_the_proof_is_401(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    app = ClawguardMiddleware(whoami, manager)
    token = bound.token

    def made(**changes: str) -> str:
        return key.proof(**{"method": "GET", "url": URL, "token": token, **changes})

    used = made()
    assert send(app, f"DPoP {token}", used).status == 200
    wrong = [
        None,
        "",
        "x",
        f"{made()},{made()}",
        f"{made()}, {made()}",
        used,
        made(method="POST"),
        made(url="http://127.0.0.1/other"),
        made(url="https://127.0.0.1/mail/a%20b"),
        made(token="a.b.c"),
        key.proof(method="GET", url=URL),
        ProofKey.generate().proof(method="GET", url=URL, token=token),
    ]
    assert {verdict(send(app, f"DPoP {token}", proof)) for proof in wrong} == {(401, INVALID_PROOF)}


def test_an_unbound_token_is_no_dpop_token(manager: SessionManager, key: ProofKey) -> None:
    token = manager.create("planner", scopes="").token
    app = ClawguardMiddleware(whoami, manager)
    proof = key.proof(method="GET", url=URL, token=token)
    assert verdict(send(app, f"DPoP {token}", proof)) == (401, INVALID_PROOF)
    assert send(app, f"Bearer {token}", proof).status == 200


def test_refusals_speak_the_scheme_of_the_request(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    app = ClawguardMiddleware(whoami, manager, require="mail:send")

    def answer() -> Answer:
        return send(app, f"DPoP {bound.token}", key.proof(method="GET", url=URL, token=bound.token))

    assert verdict(answer()) == (403, f'{ALGS}, error="insufficient_scope", scope="mail:send"')
    manager.revoke(bound)
    assert verdict(answer()) == (401, f'{ALGS}, error="invalid_token"')


def test_a_proof_is_for_the_origin_that_is_given_whatever_host_the_request_names(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    app = ClawguardMiddleware(whoami, manager, origin="https://API.example.com:443/")
    elsewhere = "https://evil.example/mail/a%20b"
    proof = key.proof(method="GET", url=elsewhere, token=bound.token)
    forged = {"HTTP_HOST": "evil.example", "wsgi.url_scheme": "https"}
    assert verdict(send(app, f"DPoP {bound.token}", proof, **forged)) == (401, INVALID_PROOF)
    proof = key.proof(method="GET", url="https://api.example.com/mail/a%20b", token=bound.token)
    assert send(app, f"DPoP {bound.token}", proof).status == 200


@pytest.mark.parametrize(
    "origin", ["", "api.example.com", "https://a/b", "ftp://a", "https://u@a", "https://a?b", "https://a#b"]
)
def test_an_origin_is_a_scheme_and_a_host(manager: SessionManager, origin: str) -> None:
    with pytest.raises(InvalidArgument, match="origin"):
        ClawguardMiddleware(whoami, manager, origin=origin)


def test_a_host_that_is_none_is_a_bad_request(
    key: ProofKey, manager: SessionManager, bound: IssuedSession
) -> None:
    proof = key.proof(method="GET", url=URL, token=bound.token)
    app = ClawguardMiddleware(whoami, manager)
    assert send(app, f"DPoP {bound.token}", proof, HTTP_HOST="a b/\\").status == 400


@pytest.mark.parametrize(
    "host", ["127.0.0.1/public?", "127.0.0.1/public#", "127.0.0.1?", "127.0.0.1/public/"]
)
def test_attack_59_a_host_header_that_brings_a_path_of_its_own(
    manager: SessionManager, key: ProofKey, bound: IssuedSession, host: str
) -> None:
    proof = key.proof(method="GET", url="http://127.0.0.1/public", token=bound.token)
    app = ClawguardMiddleware(whoami, manager)
    answer = send(app, f"DPoP {bound.token}", proof, HTTP_HOST=host, PATH_INFO="/admin")
    assert answer.status == 400


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/admin/../public", "/public"),
        ("/admin/./../public", "/public"),
        (".evil.example/inbox", ".evil.example/inbox"),
        (":8443/inbox", ":8443/inbox"),
        ("@evil.example/", "@evil.example/"),
    ],
)
def test_attack_59_a_path_that_means_two_things(
    manager: SessionManager, key: ProofKey, bound: IssuedSession, path: str, named: str
) -> None:
    at = "https://api.example.com"
    app = ClawguardMiddleware(whoami, manager, origin=at)
    url = at + named if named[0] != "@" else "https://evil.example/"
    proof = key.proof(method="GET", url=url, token=bound.token)
    assert send(app, f"DPoP {bound.token}", proof, PATH_INFO=path).status == 400


@pytest.mark.parametrize(
    "escaped", ["/ana%40b", "/1%3A2", "/q%2Cb", "/a%27b", "/%7Ex", "/x%20y", "/%E2%82%AC"]
)
def test_an_escaped_path_is_the_same_path(
    manager: SessionManager, key: ProofKey, bound: IssuedSession, escaped: str
) -> None:
    proof = key.proof(method="GET", url=f"http://127.0.0.1{escaped}", token=bound.token)
    app = ClawguardMiddleware(whoami, manager)
    path = unquote(escaped, "latin-1")  # as PEP 3333 hands it over
    assert send(app, f"DPoP {bound.token}", proof, PATH_INFO=path).status == 200


def test_a_path_that_no_server_hands_over_harms_nobody(manager: SessionManager) -> None:
    token = manager.create("planner", scopes="").token
    app = ClawguardMiddleware(whoami, manager)
    assert send(app, f"Bearer {token}", PATH_INFO="/€").status == 200


def test_a_path_keeps_what_a_path_may_hold(
    manager: SessionManager, key: ProofKey, bound: IssuedSession
) -> None:
    path = "/a:b@c!$&'()*+,;=-._~d"
    proof = key.proof(method="GET", url=f"http://127.0.0.1{path}", token=bound.token)
    app = ClawguardMiddleware(whoami, manager)
    assert send(app, f"DPoP {bound.token}", proof, PATH_INFO=path).status == 200


def test_a_certificate_is_taken_from_the_terminator_alone(manager: SessionManager) -> None:
    reported_one = certificate("a")
    token = manager.create(
        "planner", scopes="", cnf={"x5t#S256": CertificateProof(reported_one).thumbprint}
    ).token
    header = {"HTTP_X_CLIENT_CERT": "0der", "SSL_CLIENT_CERT": "0der"}
    assert send(ClawguardMiddleware(whoami, manager), f"Bearer {token}", **header).status == 401
    for reported, status in [
        (reported_one, 200),
        (certificate("b"), 401),
        (None, 401),
        ("", 401),
        (b"junk", 401),
    ]:

        def certificate_of(environ: Any, reported: Any = reported) -> Any:
            return reported

        app = ClawguardMiddleware(whoami, manager, certificate_of=certificate_of)
        assert send(app, f"Bearer {token}").status == status
    plain = manager.create("planner", scopes="").token
    app = ClawguardMiddleware(whoami, manager, certificate_of=lambda environ: reported_one)
    assert send(app, f"Bearer {plain}").status == 200
    app = ClawguardMiddleware(whoami, manager, certificate_of=lambda environ: "(null)")
    assert send(app, f"Bearer {plain}").status == 200


def test_a_credential_is_read_with_its_proof() -> None:
    found = read_credential("DPoP a.b.c", dpop=" d.e.f ", method="GET", url="https://a/")
    assert isinstance(found, Credential)
    assert (found.token, found.scheme) == ("a.b.c", "DPoP")
    assert isinstance(found.proof, DPoPProof)
    assert "a.b.c" not in repr(found)
    assert "d.e.f" not in repr(found)
    assert read_credential("Bearer a.b.c", dpop="d.e.f") == Credential("a.b.c")


@pytest.mark.parametrize(
    ("method", "url"), [("", "https://a/"), ("G T", "https://a/"), ("GET", "/"), ("GET", "")]
)
def test_a_request_that_is_none_is_a_bad_request(method: str, url: str) -> None:
    found = read_credential("DPoP a.b.c", dpop="d.e.f", method=method, url=url)
    assert isinstance(found, Refusal)
    assert found.status == 400


def test_other_refusals_are_the_same_for_both_schemes() -> None:
    assert refusal_for(StoreBusy("locked"), scheme="DPoP") == refusal_for(StoreBusy("locked"))
    assert dict(refusal_for(InvalidProof(), scheme="DPoP").headers)["WWW-Authenticate"] == INVALID_PROOF
