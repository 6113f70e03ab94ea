"""What a manager refuses, and in which words: the argument, what is wrong with it, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clawguard import SessionManager, current_session, requires
from clawguard.errors import ClawguardError
from clawguard.guard import CertificateProof
from tests.clocks import FakeClock
from tests.openers import open_manager

WRONG: Any = 7
UNCALLED: Any = len
POLICY = {"roles": {"clerk": {"scopes": "*"}}, "tasks": {"sum": {"scopes": "*"}}}

Call = Callable[[SessionManager], object]


@pytest.fixture(scope="module")
def manager() -> Iterator[SessionManager]:
    with open_manager(clock=FakeClock(), audiences={"mail"}, policy=POLICY) as opened:
        yield opened


def forked(manager: SessionManager, *, into_itself: bool) -> object:
    one, other = (manager.create(name, scopes="x") for name in "ab")
    for each in (one, other):
        manager.history.append(each, {"role": "user", "content": "hello"})
    return manager.history.fork(one, into=one if into_itself else other)


def entered(block: Any) -> object:
    with block as given:
        return given


def twice(manager: SessionManager) -> object:
    turn = manager.activity.turn(manager.create("a", scopes="x"), turn_id="t")
    entered(turn)
    return entered(turn)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            lambda m: m.activity.set_state(m.create("a", scopes="x"), "sleeping"),
            "InvalidArgument: state: must be one of idle, running, error",
        ),
        (
            lambda m: m.activity.turn(m.create("a", scopes="x"), turn_id="t", queue=-1),
            "InvalidArgument: queue: must be a whole number, 0 or more",
        ),
        (
            lambda m: m.activity.turn(m.create("a", scopes="x"), turn_id="t", lease=0.01),
            "InvalidArgument: lease: must be at least a tenth of a second",
        ),
        (
            lambda m: m.history.extend(m.create("a", scopes="x"), "hello"),
            "InvalidArgument: messages: must be a list of messages; append() takes a single one",
        ),
        (
            lambda m: m.history.extend(m.create("a", scopes="x"), []),
            "InvalidArgument: messages: must be at least one",
        ),
        (
            lambda m: m.history.tail(m.create("a", scopes="x"), limit=-1),
            "InvalidArgument: limit: must be a number of entries, 0 or more",
        ),
        (lambda m: m.history.page(limit=0), "InvalidArgument: limit: must be 1 to 1000"),
        (lambda m: m.history.page(limit=1_001), "InvalidArgument: limit: must be 1 to 1000"),
        (
            lambda m: m.history.page(colour="red"),
            (
                "InvalidArgument: colour: is not a filter; the filters are agent_id, subject, "
                "channel_id, room_id, sender_id, state"
            ),
        ),
        (
            lambda m: m.history.page(cursor="none"),
            (
                "InvalidArgument: cursor: is malformed or belongs to other filters; take it from the "
                "page before, unchanged"
            ),
        ),
        (
            lambda m: m.history.fork(m.create("a", scopes="x"), into=m.create("b", scopes="x"), up_to=-1),
            "InvalidArgument: up_to: must be the number of an entry",
        ),
        (
            lambda m: forked(m, into_itself=True),
            "InvalidArgument: into: is the session itself; fork into a new session",
        ),
        (
            lambda m: forked(m, into_itself=False),
            "InvalidArgument: into: has entries already; fork into a new session",
        ),
        (
            lambda m: m.history.fork(m.create("a", scopes="x"), into=WRONG),
            "InvalidArgument: into: must be a string, not int",
        ),
        (
            lambda m: requires("x", WRONG),
            (
                "InvalidArgument: scopes: holds a malformed scope; write lower-case ASCII segments such "
                "as 'docs:read' or 'docs:*', separated by spaces"
            ),
        ),
        (
            lambda m: requires(UNCALLED),
            "InvalidArgument: scopes: must be scopes; write @requires('docs:read')",
        ),
        (lambda m: m.sessions.page(limit=0), "InvalidArgument: limit: must be 1 to 1000"),
        (lambda m: m.sessions.page(limit=1_001), "InvalidArgument: limit: must be 1 to 1000"),
        (lambda m: m.sessions.page(live=WRONG), "InvalidArgument: live: must be True, False or None"),
        (
            lambda m: m.sessions.page(state="sleeping"),
            "InvalidArgument: state: must be one of idle, running, error",
        ),
        (
            lambda m: m.sessions.page(colour="red"),
            (
                "InvalidArgument: colour: is not a filter; the filters are agent_id, subject, role, "
                "state, channel_id, room_id, sender_id, parent_id"
            ),
        ),
        (
            lambda m: m.sessions.page(cursor="none"),
            (
                "InvalidArgument: cursor: is malformed or belongs to other filters; take it from the "
                "page before, unchanged"
            ),
        ),
        (
            lambda m: m.sessions.tree_page(m.create("a", scopes="x"), limit=0),
            "InvalidArgument: limit: must be 1 to 1000",
        ),
        (
            lambda m: m.sessions.tree_page(m.create("a", scopes="x"), cursor="none"),
            (
                "InvalidArgument: cursor: is malformed or belongs to other filters; take it from the "
                "page before, unchanged"
            ),
        ),
        (
            lambda m: m.sessions.get("none"),
            (
                "SessionNotFound: no session none; give its id or its record; `sessions.find(key=...)` "
                "finds a live one by its key"
            ),
        ),
        (lambda m: m.sessions.get(WRONG), "InvalidArgument: session: must be a string, not int"),
        (lambda m: m.sessions.find(key=""), "InvalidArgument: key: must be 1 to 255 printable characters"),
        (
            lambda m: m.create("a", scopes="x", role="boss"),
            "InvalidArgument: role: is not one of the policy's",
        ),
        (
            lambda m: m.create("a", scopes="x", task_type="play"),
            "InvalidArgument: task_type: is not one of the policy's",
        ),
        (
            lambda m: m.create("a", scopes="x", colour="red"),
            "TypeError: unexpected keyword argument 'colour'",
        ),
        (
            lambda m: m.create("a", scopes="x", delegable=WRONG),
            "InvalidArgument: delegable: must be True or False",
        ),
        (
            lambda m: m.create("a" * 250, scopes="x"),
            "InvalidArgument: agent_id: must be at most 249 characters",
        ),
        (
            lambda m: m.create("a", scopes="x", subject="ana"),
            "InvalidArgument: subject: must say what kind of principal it is; write 'user:ana'",
        ),
        (
            lambda m: m.create("a", scopes="x", max_uses=0),
            "InvalidArgument: max_uses: must be an integer of at least 1, or None",
        ),
        (
            lambda m: m.create("a", scopes="x", refreshable=WRONG),
            "InvalidArgument: refreshable: must be True or False",
        ),
        (lambda m: m.create("a", scopes="x", ttl=0), "InvalidArgument: ttl: must be more than 0 seconds"),
        (
            lambda m: m.create("a", scopes="x", ttl=20 * 366 * 86_400),
            "InvalidArgument: ttl: must be a finite number of seconds, at most ten years",
        ),
        (
            lambda m: m.create("a", scopes="x", audience="other"),
            (
                "InvalidArgument: audience: is not one of this manager's; name it in audiences= when you "
                "open the manager"
            ),
        ),
        (
            lambda m: m.create("a", scopes="A"),
            (
                "InvalidArgument: scopes: holds a malformed scope; write lower-case ASCII segments such "
                "as 'docs:read' or 'docs:*', separated by spaces"
            ),
        ),
        (
            lambda m: m.create("a", scopes="x", metadata=WRONG),
            "InvalidArgument: metadata: must be a JSON object: a dict with string keys",
        ),
        (
            lambda m: m.create("a", scopes="x", cnf=WRONG),
            "InvalidArgument: cnf: must hold one of jkt and x5t#S256; {'jkt': thumbprint}",
        ),
        (
            lambda m: [m.create("a", scopes=each, request_id="one") for each in "xy"],
            "InvalidArgument: request_id: was used for a different request; use a new one",
        ),
        (
            lambda m: m.redeem("none"),
            (
                "InvalidToken: the token is not valid; redeem() takes the text in "
                "`IssuedSession.refresh_token`"
            ),
        ),
        (
            lambda m: m.redeem(WRONG),
            "InvalidArgument: refresh_token: must be a refresh token; `session.refresh_token`",
        ),
        (
            lambda m: m.redeem("cgr1_none"),
            (
                "InvalidToken: the token is not valid; redeem() takes the text in "
                "`IssuedSession.refresh_token`"
            ),
        ),
        (
            lambda m: m.refresh(m.create("a", scopes="x"), expected_generation=WRONG and "1"),
            "InvalidArgument: expected_generation: must be an integer",
        ),
        (
            lambda m: m.refresh(m.create("a", scopes="x"), expected_generation=2),
            "InvalidArgument: expected_generation: is above the session's, 1",
        ),
        (
            lambda m: m.revoke(m.create("a", scopes="x").token),
            "InvalidArgument: session: is a token, not an id; pass the session's id or its record",
        ),
        (
            lambda m: m.revoke_where(),
            (
                "InvalidArgument: filters: at least one is needed; everything=True ends every session of "
                "every workspace"
            ),
        ),
        (
            lambda m: m.revoke_where(everything=True, agent_id="a"),
            "InvalidArgument: everything: stands alone; leave it out, or the filters",
        ),
        (lambda m: m.revoke_where(everything=WRONG), "InvalidArgument: everything: must be True or False"),
        (lambda m: m.revoke_where(colour="red"), "TypeError: unexpected keyword argument 'colour'"),
        (
            lambda m: m.revoke_where(agent_id=""),
            "InvalidArgument: agent_id: must be 1 to 255 printable characters",
        ),
        (
            lambda m: m.delegate(WRONG, "b", scopes="x"),
            "InvalidArgument: parent: must be a token or a record; sessions.get(id) gives the record",
        ),
        (lambda m: m.delegate(m.create("a", scopes="x"), "b", scopes="y"), "DelegationRefused: a lacks y"),
        (
            lambda m: m.validate(WRONG),
            ("InvalidArgument: token_or_context: must be a token or a SessionContext; pass `session.token`"),
        ),
        (
            lambda m: m.validate("none"),
            "InvalidToken: the token is not valid; a token is the text in `IssuedSession.token`",
        ),
        (
            lambda m: m.validate("cgr1_none"),
            "InvalidToken: the token is not valid; a refresh token goes to redeem(), and nowhere else",
        ),
        (
            lambda m: m.validate(m.create("a", scopes="x").token, consistency="strong"),
            "InvalidArgument: consistency: must be 'bounded' or 'linearizable'",
        ),
        (
            lambda m: m.validate(m.create("a", scopes="x").token, audience="other"),
            (
                "InvalidArgument: audience: is not one of this manager's; name it in audiences= when you "
                "open the manager"
            ),
        ),
        (lambda m: m.validate(m.create("a", scopes="x").token, require="y"), "InsufficientScope: a lacks y"),
        (
            lambda m: m.validate(m.create("a", scopes="x").token, proof=WRONG),
            "InvalidArgument: proof: must be a DPoPProof or a CertificateProof",
        ),
        (
            lambda m: m.validate(
                m.validate(m.create("a", scopes="x").token), proof=CertificateProof.of_thumbprint("A" * 43)
            ),
            "InvalidArgument: proof: goes with a token; a context needs none",
        ),
        (
            lambda m: m.authorize(WRONG, "mail:send"),
            "InvalidArgument: context: must be a SessionContext; `validate` gives it",
        ),
        (
            lambda m: m.authorize(m.validate(m.create("a", scopes="x").token), "mail:*"),
            "InvalidArgument: action: must be one action, without a wildcard",
        ),
        (lambda m: m.inspect(WRONG), "InvalidArgument: token: must be a token; pass `session.token`"),
        (
            lambda m: m.recheck(WRONG),
            ("InvalidArgument: token_or_context: must be a token or a SessionContext; pass `session.token`"),
        ),
        (
            lambda m: m.reload_policy(),
            "InvalidArgument: policy: no file is known; give a path, a dict or a Policy",
        ),
        (lambda m: m.on("*", WRONG), "InvalidArgument: receiver: must be callable with one event"),
        (
            lambda m: m.on("*", print, after=1),
            "InvalidArgument: durable: is missing; after=, tries= and lease= go with it",
        ),
        (lambda m: m.events.read(limit=0), "InvalidArgument: limit: must be 1 to 1000"),
        (lambda m: m.sessions.purge(-1), "InvalidArgument: older_than: must not be negative"),
        (
            lambda m: m.history.milestones.set("k", WRONG),
            "InvalidArgument: value: must be a text of at most 4096 characters",
        ),
        (
            lambda m: m.history.milestones.set("k", "v", workspace_id=""),
            "InvalidArgument: workspace_id: must be 1 to 255 printable characters",
        ),
        (
            lambda m: m.history.encryption.rotate(),
            "ConfigError: conversations are not encrypted here; call enable() first",
        ),
        (
            lambda m: m.history.milestones.set("k", "\ud800"),
            "InvalidArgument: value: holds a lone surrogate, which no UTF-8 text has",
        ),
        (
            lambda m: m.history.milestones.set("k", "a" * 4_097),
            "InvalidArgument: value: must be a text of at most 4096 characters",
        ),
        (
            lambda m: m.create(m.create("a", scopes="x").token, scopes="x"),
            "InvalidArgument: agent_id: is a token, not the name of an agent",
        ),
        (
            lambda m: current_session(),
            (
                "NoSession: no session is bound here; call it inside `with manager.use(token):`, in the "
                "same thread or a copy of its context"
            ),
        ),
        (
            lambda m: m.revoke_where(agent_id="a", dry_run=WRONG),
            "InvalidArgument: dry_run: must be True or False",
        ),
        (lambda m: m.agents.page(limit=0), "InvalidArgument: limit: must be 1 to 1000"),
        (lambda m: m.agents.disable(""), "InvalidArgument: agent_id: must be 1 to 255 printable characters"),
        (lambda m: m.agents.enable("none", dry_run=WRONG), "InvalidArgument: dry_run: must be True or False"),
        (
            lambda m: m.history.append("none", {"role": "user", "content": "a"}),
            (
                "SessionNotFound: no session none; give its id or its record; `sessions.find(key=...)` "
                "finds a live one by its key"
            ),
        ),
        (
            lambda m: m.history.append(m.create("a", scopes="x"), WRONG),
            "InvalidArgument: message: must be a Message or a dict",
        ),
        (
            lambda m: m.publish("none", {}),
            ("InvalidArgument: event_type: is not registered; events.register(name, model) makes it known"),
        ),
        (
            lambda m: entered(m.use(WRONG)),
            ("InvalidArgument: token_or_context: must be a token or a SessionContext; pass `session.token`"),
        ),
        (twice, "InvalidArgument: turn: was entered before; call activity.turn() for each block"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(
    manager: SessionManager, asked: Call, told: str
) -> None:
    with pytest.raises((ClawguardError, TypeError, ValueError)) as refused:
        asked(manager)
    assert f"{type(refused.value).__name__}: {refused.value}" == told
