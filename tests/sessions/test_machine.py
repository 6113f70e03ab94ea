"""Any order of calls, held against a model that knows no database."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from clawguard import (
    InvalidToken,
    IssuedSession,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
)
from clawguard.clock import SECOND, to_microseconds
from tests.openers import open_manager
from tests.sessions.machine_model import (
    ACTIONS,
    GRACE,
    IDLE,
    MAX_DEPTH,
    POLICIES,
    Asked,
    Model,
    agents,
    policies,
    shows,
    trees,
    wishes,
)  # fmt: skip
from tests.sessions.machine_world import Issued, Key, Redeemable, Refusals, World, attempt

CAP = 2

while_some_live = precondition(lambda self: any(each.is_live(self.clock.at) for each in self.models.values()))


class Lives(World, RuleBasedStateMachine):
    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        World.__init__(self)
        self.folder = tempfile.TemporaryDirectory()
        self.versions: dict[str, int] = {}
        self.recorded = 0

    @initialize(
        cap=st.sampled_from([None, CAP]),
        evicts=st.booleans(),
        tree=trees,
        sooner=st.sampled_from(["says nothing", "leads hand on"]),
        later=policies,
    )
    def found(self, cap: int | None, evicts: bool, tree: list[Asked], sooner: str, later: str) -> None:
        """Begin with something alive, and with a policy that it was not made under."""
        self.cap, self.evicts = cap, evicts
        self.manager = self.open()
        self.keys = {key.kid: Key() for key in self.manager.keys.list()}
        self.reload(sooner)
        root, *others = tree
        self.plant([replace(root, scopes="x:* m:s", role="lead", task=None), *others], 400)
        self.reload(later)

    def open(self) -> SessionManager:
        return open_manager(
            Path(self.folder.name) / "data" / "c.db",
            clock=self.clock,
            refresh_idle=IDLE / SECOND,
            refresh_grace=GRACE / SECOND,
            max_sessions_per_agent=self.cap,
            at_limit="evict_oldest" if self.evicts else "deny",
        )

    def teardown(self) -> None:
        if "manager" in vars(self):  # an example may be given up before it has begun
            self.manager.close()
        self.folder.cleanup()

    # what the library says

    def answer(self, issued: Issued) -> str:
        try:
            context = self.manager.validate(issued.token)
        except InvalidToken:
            return "invalid"
        except TokenSuperseded:
            return "superseded"
        except SessionEnded as refusal:
            return f"ended: {refusal.cause}"
        assert (context.session_id, context.generation) == (issued.session.id, issued.generation)
        return "active"

    def look(self, issued: Issued) -> str:
        """Judge a token as `answer` does, but spend no use."""
        if issued.session.uses is None:
            return self.answer(issued)
        return self.manager.inspect(issued.token).verdict

    # what is done

    @rule(tree=trees, ttl=st.integers(20, 400))
    def plant(self, tree: list[Asked], ttl: int) -> None:
        """Create a session as wished, and below it others that have what their parents may give."""
        asked, *others = tree
        self.tick()
        refusals = self.refusals(asked, None)
        made = attempt(self.manager.create, asked.agent, ttl=ttl, max_lifetime=500, **asked.arguments())
        if not isinstance(made, IssuedSession):
            assert type(made) in refusals
            return
        assert not refusals
        parent = self.begin(made, asked, None, ttl=ttl * SECOND)
        for wish in others:
            parent = self.hand(parent, wish.within(parent, self.policy), ttl) or parent

    @while_some_live
    @rule(data=st.data(), asked=wishes, ttl=st.integers(1, 400))
    def delegate(self, data: st.DataObject, asked: Asked, ttl: int) -> None:
        self.hand(self.some(data), asked, ttl)

    @while_some_live
    @rule(data=st.data(), asked=wishes, ttl=st.integers(20, 400))
    def hand_on(self, data: st.DataObject, asked: Asked, ttl: int) -> None:
        """Delegate all that the parent may give now."""
        parent = self.some(data)
        self.hand(parent, asked.within(parent, self.policy), ttl)

    @while_some_live
    @rule(data=st.data(), asked=wishes, ttl=st.integers(20, 400), scope=st.sampled_from(["m:s", "x:z"]))
    def lend(self, data: st.DataObject, asked: Asked, ttl: int, scope: str) -> None:
        """Delegate by a grant, needed or not."""
        parent = self.some(data)
        wish = asked.within(parent, self.policy)
        self.hand(parent, replace(wish, agent="b", role="aide", scopes=scope, grant="lend"), ttl)

    def hand(self, parent: Model, asked: Asked, ttl: int) -> Model | None:
        self.tick()
        over = self.settle(parent)
        refusals: Refusals = {SessionEnded} if over else self.refusals(asked, parent)
        record = self.manager.get_session(parent.id)
        made = attempt(self.manager.delegate, record, asked.agent, ttl=ttl, **asked.arguments())
        if not isinstance(made, IssuedSession):
            assert type(made) in refusals
            return None
        assert not refusals
        return self.begin(made, asked, parent, ttl=ttl * SECOND)

    @precondition(lambda self: any(each.session.uses is not None for each in self.tokens))
    @rule(data=st.data())
    def spend(self, data: st.DataObject) -> None:
        counted = [each for each in self.tokens if each.session.uses is not None]
        issued = data.draw(st.sampled_from(counted[-5:]))
        verdicts = self.verdicts(issued)
        assert self.answer(issued) in verdicts
        session = issued.session
        if "active" in verdicts and session.uses is not None:
            session.uses -= 1
            session.purse.used += 1
            if session.uses == 0:
                self.finish(session, "uses")

    @rule(name=policies)
    def reload(self, name: str) -> None:
        self.policy = POLICIES[name]
        self.manager.reload_policy(self.policy)

    @while_some_live
    @rule()
    def ask(self) -> None:
        for session in (each for each in self.models.values() if each.is_live(self.clock.at)):
            for action in ACTIONS:
                allowed = bool(self.manager.authorize(session.context, action))
                assert allowed == session.may(self.policy, action)

    @rule(data=st.data(), ttl=st.one_of(st.none(), st.integers(1, 600)))
    def refresh(self, data: st.DataObject, ttl: int | None) -> None:
        session = self.some(data)
        over = self.settle(session) or session.uses == 0
        try:
            made = self.manager.refresh(session.id, ttl=ttl)
        except SessionEnded:
            assert over
            return
        assert not over
        wanted = min(self.clock.at + (session.ttl if ttl is None else ttl * SECOND), session.ends_within())
        end = min(wanted, self.clock.at + IDLE) if session.is_family else wanted
        session.end = max(session.end, end)
        session.token_end = min(wanted, session.end) if session.is_family else session.end
        session.generation += 1
        self.issue(made)

    @precondition(lambda self: self.redeemables)
    @rule(data=st.data(), shows=st.lists(shows, min_size=2, max_size=4))
    def redeem(self, data: st.DataObject, shows: list[tuple[int, int]]) -> None:
        """Show one family's latest tokens in any order, each at once or at an edge of its grace."""
        families = [each for each in self.models.values() if each.is_family]
        live = [each for each in families if each.is_live(self.clock.at)]
        session = data.draw(st.sampled_from(live or families))
        for age, late in shows:
            latest = [each for each in self.redeemables if each.session is session][-3:]
            shown = latest[-1 - age % len(latest)]
            if shown.spent_at is not None:
                self.clock.advance(max(0, shown.spent_at + late - self.clock.at) / SECOND)
            self.show(shown)

    def show(self, shown: Redeemable) -> None:
        session = shown.session
        over = self.settle(session) or session.uses == 0
        is_repeat = shown.is_repeat(self.clock.at)
        before = self.manager.get_session(session.id)
        made = attempt(self.manager.redeem, shown.text)
        if not isinstance(made, IssuedSession):
            assert isinstance(made, SessionEnded)
            if not over:  # G-REPLAY: it was spent, and its grace is over or its successor was redeemed
                assert (made.cause, is_repeat) == ("reuse", False)
                assert shown.spent_at is not None
                self.finish(session, "reuse")
            return
        assert not over
        assert made.refresh_token is not None
        if is_repeat:
            assert shown.successor is not None
            assert made.refresh_token == shown.successor.text
            after = self.manager.get_session(session.id)
            assert after == replace(before, kid=after.kid, version=after.version)
            self.issue(made)
            return
        assert shown.spent_at is None
        limit = session.ends_within()
        session.end = max(session.end, min(self.clock.at + IDLE, limit))
        session.token_end = min(self.clock.at + session.ttl, limit, session.end)
        session.generation += 1
        self.issue(made)
        shown.spent_at = self.clock.at
        shown.successor = Redeemable(made.refresh_token, session)
        self.redeemables.append(shown.successor)

    @rule(agent=agents, enable=st.booleans())
    def disable(self, agent: str, enable: bool) -> None:
        if enable:
            self.manager.agents.enable(agent)
            self.disabled.discard(agent)
            return
        self.manager.agents.disable(agent)
        self.disabled.add(agent)
        self.end_all(each for each in self.models.values() if each.agent == agent)

    @rule(data=st.data(), verb=st.sampled_from([("revoke", "revoked"), ("end", "finished")]))
    def end(self, data: st.DataObject, verb: tuple[str, str]) -> None:
        session = self.some(data)
        over = self.settle(session)
        assert getattr(self.manager, verb[0])(session.id) is not over
        self.finish(session, verb[1])

    @rule(seconds=st.integers(0, 60))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @while_some_live
    @rule(data=st.data(), before=st.sampled_from([0, 1]))
    def wait_for_an_end(self, data: st.DataObject, before: int) -> None:
        session = self.some(data)
        self.clock.advance(max(0, min(session.end, session.absolute) - before - self.clock.at) / SECOND)

    @rule()
    def sweep(self) -> None:
        due = [each for each in self.models.values() if each.is_due(self.clock.at)]
        assert self.manager.prune_expired() == len(due)
        for each in due:
            each.cause = "ttl"
        assert self.manager.prune_expired() == 0

    @rule(emergency=st.sampled_from([False, False, True]))
    def rotate(self, emergency: bool) -> None:
        old = next(key.kid for key in self.manager.keys.list() if key.state == "active")
        self.manager.keys.rotate(emergency=emergency)
        for key in self.manager.keys.list():
            self.keys.setdefault(key.kid, Key())
        signed = [each for each in self.models.values() if each.cause is None and each.kid == old]
        if not emergency:
            self.keys[old].until = max([self.clock.at, *(each.token_end for each in signed)])
            return
        self.keys[old].given_up = True
        self.end_all(signed, "key")

    @rule()
    def restart(self) -> None:
        self.manager.close()
        self.manager = self.open()

    # what always holds

    @invariant()
    def every_token_ever_issued_is_judged_as_promised(self) -> None:
        for issued in self.tokens:
            verdicts = self.verdicts(issued)
            if issued.session.uses is not None:
                verdicts = {each.partition(":")[0] for each in verdicts}
            assert self.look(issued) in verdicts

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        rows = {each.id: each for each in self.manager.sessions.iter()}
        assert rows.keys() == self.models.keys()
        for row in rows.values():
            model = self.models[row.id]
            assert (row.cause, row.generation) == (model.cause, model.generation)
            assert to_microseconds(row.expires_at) == model.end
            assert (row.role, row.task_type, row.grant_name) == (model.role, model.task, model.grant)
            assert (set(row.scopes), row.uses_left) == (set(model.scopes.split()), model.uses)

    @invariant()
    def g_narrow(self) -> None:
        """No live session has what its parent lacks now, but what a grant of the policy in force lends."""
        held: dict[str, set[str]] = {}
        for each in self.models.values():  # parents first
            if not each.is_live(self.clock.at):
                held[each.id] = set(each.held(self.policy))  # nobody can ask for what it has
                continue
            context = self.manager.validate(each.context)
            held[each.id] = {action for action in ACTIONS if context.has_scope(action)}
            assert held[each.id] == each.held(self.policy)
            if each.parent is not None:
                assert held[each.id] <= held[each.parent.id] | each.lent(self.policy)
        rows = {each.id: each for each in self.manager.sessions.iter()}
        for row in rows.values():
            assert row.idle_timeout == self.models[row.id].idle
            if row.parent_id is not None:
                parent = rows[row.parent_id]
                assert row.expires_at <= parent.expires_at
                assert row.absolute_expires_at <= parent.absolute_expires_at
                assert parent.idle_timeout is None or (row.idle_timeout or 0) <= parent.idle_timeout
                assert row.depth == parent.depth + 1 <= MAX_DEPTH
        lent = {each.session_id for each in self.manager.events.read(types="guard.granted", limit=1_000)}
        assert lent == {each.id for each in self.models.values() if each.grant is not None}

    @invariant()
    def uses_are_neither_made_nor_lost(self) -> None:
        left: dict[str, int] = {}
        for row in self.manager.sessions.iter():
            if row.uses_left is not None:
                purse = self.models[row.id].purse
                left[purse.id] = left.get(purse.id, 0) + row.uses_left
        for session_id, count in left.items():
            purse = self.models[session_id]
            assert count + purse.used == purse.filled

    @invariant()
    def no_agent_has_more_sessions_than_the_cap(self) -> None:
        for agent in ("a", "b"):
            live = self.manager.sessions.page(agent_id=agent, live=True, limit=1_000).items
            assert {each.id for each in live} == {each.id for each in self.live_of(agent)}
            assert self.cap is None or len(live) <= self.cap

    @invariant()
    def g_cascade(self) -> None:
        """No session is live under one that has ended or is due."""
        rows = {each.id: each for each in self.manager.sessions.iter()}
        over = {
            each.id for each in rows.values() if each.cause is not None or each.due_at <= self.clock.datetime
        }
        assert not [each.id for each in rows.values() if each.parent_id in over and each.id not in over]

    @invariant()
    def g_replay(self) -> None:
        """A spent refresh token that came back ended its session, and nothing else did so."""
        told = [each.session_id for each in self.manager.events.read(types="token.reuse_detected")]
        assert sorted(map(str, told)) == sorted(
            each.id for each in self.models.values() if each.cause == "reuse"
        )

    @invariant()
    def the_log_is_whole_and_tells_each_end_once(self) -> None:
        assert self.manager.events.verify()
        for event in self.manager.events.read(after=self.recorded, types="session.*", limit=1_000):
            assert event.session_id is not None
            assert event.version is not None
            assert event.version > self.versions.get(event.session_id, 0)
            self.versions[event.session_id] = event.version
            self.recorded = event.seq
        ends = self.manager.events.read(types="session.expired", limit=1_000)
        told = {each.session_id: each.cause for each in ends}
        assert len(told) == len(ends)
        assert told == {each.id: each.cause for each in self.models.values() if each.cause is not None}


Lives.TestCase.settings = settings(
    max_examples=250, stateful_step_count=20, suppress_health_check=list(HealthCheck)
)
TestLives = pytest.mark.timeout(600)(Lives.TestCase)  # a failure takes minutes to be made small
