"""Resume as a whole: session, outbox, machine and node over one cut after another."""

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.core.session import Session, Side, Tapped
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.base import Cap
from tests.core.support import (
    BOXED,
    FULL,
    UNCOUNTED,
    Bench,
    Boxed,
    Peer,
    TestMachine,
    TestTransport,
    TestWire,
)


def resuming() -> TestWire:
    return TestWire(FULL | Cap.RESUME)


def joined(bench: Bench, wire: TestWire | None = None) -> Peer:
    """A client in the channel `echo`, whose `say` answers with what it is given."""
    if not list(bench.channels):
        channel = bench.channel("echo")

        @channel.on("say")
        async def say(text: str) -> str:
            return text

    peer = bench.connect(wire or resuming())
    peer.join("echo")
    bench.flush()
    return peer


def put(session: Session, n: int) -> None:
    session.enqueue(Payload(b'{"t":"x","n":%d}' % n))


def numbers(peer: Peer) -> list[int]:
    return [one["n"] for one in peer.heard if one["t"] == "x"]


# --- going on -------------------------------------------------------------------------------------


async def test_a_resumed_session_is_the_same_with_its_members_and_their_state() -> None:
    bench = Bench()
    peer = joined(bench)
    member = peer.session.members["echo"]
    member.state["draft"] = "hello"
    peer.cut()
    assert not member.attached
    again = bench.resume(peer, received=1)
    assert again.session is peer.session
    assert again.session.members == {"echo": member}
    assert member.attached
    assert member.state == {"draft": "hello"}
    again.call("echo", "say", "hi")
    assert again.news()[-1]["data"] == "hi"


async def test_the_welcome_of_a_resume_says_what_both_have() -> None:
    bench = Bench()
    peer = joined(bench)
    peer.call("echo", "say", "hi")
    bench.flush()
    peer.cut()
    again = bench.resume(peer, received=1)
    welcome = again.welcome
    assert welcome["resumed"] is True
    assert welcome["received"] == 2  # the join and the call
    assert welcome["acked"] == 1
    assert welcome["session"] == peer.session.id
    assert welcome["limits"]["resume"] == 120.0
    assert welcome["token"] not in ("", peer.welcome["token"])


async def test_the_welcome_comes_before_what_is_sent_again_and_is_not_counted() -> None:
    bench = Bench()
    peer = joined(bench)
    for n in range(3):
        put(peer.session, n)
    bench.flush()
    peer.cut()
    put(peer.session, 3)
    again = bench.resume(peer, received=2)
    assert [one["t"] for one in again.heard] == ["Welcome"]
    bench.flush()
    assert [one.get("n") for one in again.heard] == [None, 1, 2, 3]
    assert again.session.outbox.written == 5


async def test_nothing_kept_is_written_before_the_peer_said_its_count() -> None:
    bench = Bench()
    peer = joined(bench)
    for n in range(3):
        put(peer.session, n)
    bench.flush()
    peer.cut()
    again = bench.resume(peer)
    put(again.session, 3)
    bench.flush()
    assert [one["t"] for one in again.heard] == ["Welcome"]
    assert "acked" not in again.welcome  # none
    again.say("Ack", seq=2)
    bench.flush()
    assert numbers(again) == [1, 2, 3]
    again.say("Ack", seq=4)
    assert not again.session.has_ended


async def test_a_count_said_when_nothing_waits_needs_no_write() -> None:
    bench = Bench()
    peer = joined(bench)
    peer.cut()
    again = bench.resume(peer)
    again.say("Ack", seq=1)
    bench.flush()
    assert [one["t"] for one in again.heard] == ["Welcome"]


async def test_a_held_session_says_goodbye_and_nothing_else() -> None:
    bench = Bench()
    peer = joined(bench)
    put(peer.session, 0)
    bench.flush()
    peer.cut()
    again = bench.resume(peer)
    put(again.session, 1)
    again.session.close(4000, "enough")
    assert [one["t"] for one in again.heard] == ["Welcome", "Bye"]


async def test_a_held_session_is_read_however_much_waits() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    peer = joined(bench)
    peer.cut()
    for n in range(40):
        put(peer.session, n)
    again = bench.resume(peer)
    again.say("Beat", is_answer=True)
    assert not again.transport.is_paused
    again.say("Ack", seq=1)
    assert again.transport.is_paused
    bench.flush()
    assert not again.transport.is_paused
    assert numbers(again) == list(range(40))


async def test_publications_of_all_phases_come_in_one_order() -> None:
    bench = Bench()
    await bench.node.start()
    peer = joined(bench)
    room = bench.node.room("echo")
    await room.publish("e", 0)
    bench.flush()
    await room.publish("e", 1)
    peer.cut()
    await room.publish("e", 2)
    again = bench.resume(peer, received=1, framing=BOXED)
    await room.publish("e", 3)
    bench.flush()
    assert [one["args"] for one in again.heard if one["t"] == "Event"] == [[0], [1], [2], [3]]
    again.cut()
    await bench.node.stop()


async def test_a_cut_and_a_resume_move_the_members_between_divisions() -> None:
    bench = Bench()
    await bench.node.start()
    peer = joined(bench)

    def divisions() -> list[tuple[str, int]]:
        [lane] = bench.node.rooms["echo"].lanes.values()
        return list(lane.divisions)

    assert divisions() == [("none", 0)]
    again = bench.resume(peer, received=1, framing=BOXED)
    assert divisions() == [BOXED.key]
    again.cut()
    assert divisions() == [("none", 0)]
    bench.resume(again, received=1, framing=Boxed("other"))
    assert divisions() == [("other", 0)]
    await bench.node.stop()


async def test_a_resume_while_a_flush_is_due_writes_to_the_new_transport_alone() -> None:
    bench = Bench()
    peer = joined(bench)
    put(peer.session, 0)
    assert bench.node.dirty
    written = len(peer.transport.writes)
    again = bench.resume(peer, received=1)
    bench.flush()
    assert len(peer.transport.writes) == written
    assert numbers(again) == [0]


async def test_a_tap_stays_through_a_resume() -> None:
    bench = Bench()
    peer = joined(bench)
    tapped: list[Tapped] = []
    peer.session.tap = tapped.append
    bench.resume(peer, received=1)
    assert [(one.side, json.loads(one.message)["t"]) for one in tapped] == [(Side.OUT, "Welcome")]


async def test_a_resumed_peer_is_watched_again() -> None:
    bench = Bench()
    peer = joined(bench)
    bench.clock.move(35.0)
    assert peer.transport.closed == (4410, "nothing heard in time")
    again = bench.resume(peer, received=1)
    assert len(bench.clock.deadlines) == 1
    bench.clock.move(25.0)
    assert again.transport.beats == 1
    bench.clock.move(10.0)
    assert again.transport.closed == (4410, "nothing heard in time")


async def test_senders_and_blocked_transports_of_before_do_not_hold_a_resume() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    peer = joined(bench)
    peer.transport.is_stuck = True
    put(peer.session, 0)
    bench.flush()
    for n in range(1, 40):
        put(peer.session, n)
    peer.say("Beat", is_answer=True)
    assert peer.transport.is_paused
    peer.cut()
    again = bench.resume(peer, received=1)
    bench.flush()
    assert numbers(again) == list(range(40))
    assert not again.transport.is_paused


async def test_a_client_that_was_not_read_before_a_cut_is_not_read_after_it_either() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    peer = joined(bench)
    peer.transport.is_stuck = True
    put(peer.session, 0)
    bench.flush()
    for n in range(1, 40):
        put(peer.session, n)
    peer.say("Beat", is_answer=True)
    assert peer.transport.is_paused
    again = bench.resume(peer, received=1)
    assert not again.transport.is_paused
    again.say("Beat", is_answer=True)
    assert again.transport.is_paused
    bench.flush()
    assert not again.transport.is_paused


# --- who may --------------------------------------------------------------------------------------


async def test_a_second_attach_wins_and_the_first_is_told() -> None:
    bench = Bench()
    peer = joined(bench)
    again = bench.resume(peer, received=1)
    assert peer.transport.closed == (4409, "replaced by a newer connection")
    peer.cut(4409, is_clean=True)  # the old transport's end is not the session's
    assert again.session.is_attached
    assert not again.session.has_ended
    put(again.session, 1)
    bench.flush()
    assert numbers(again) == [1]
    assert numbers(peer) == []


@pytest.mark.parametrize("token", ["", "x", "\ud800", "\N{SNOWMAN}"])
async def test_a_wrong_token_opens_a_new_session_and_hurts_nobody(token: str) -> None:
    bench = Bench()
    peer = joined(bench)
    again = bench.resume(peer, received=1, token=token)
    assert again.session is not peer.session
    bench.flush()
    assert "resumed" not in again.welcome
    assert again.welcome["session"] != peer.session.id
    assert peer.transport.closed is None
    assert len(bench.node.sessions) == 2


async def test_a_session_that_is_not_there_is_opened_anew() -> None:
    bench = Bench()
    again = bench.connect(resuming(), session="n1.nobody", token="t", received="0")
    bench.flush()
    assert "resumed" not in again.welcome


async def test_another_user_does_not_get_the_session() -> None:
    bench = Bench()
    joined(bench)
    wire = resuming()
    ana = bench.connect(wire, user="ana")
    bench.flush()
    assert bench.resume(ana, received=0, user="bo").session is not ana.session
    assert bench.resume(ana, received=0, user=None).session is not ana.session
    assert bench.resume(ana, received=0, user="ana").session is ana.session


async def test_anonymous_users_resume_with_their_token_alone() -> None:
    bench = Bench()
    peer = joined(bench)
    again = bench.resume(peer, received=1, user=None)
    assert again.session is peer.session
    assert again.session.user == peer.session.user


async def test_another_wire_or_codec_does_not_get_the_session() -> None:
    bench = Bench()
    peer = joined(bench)
    assert bench.resume(peer, received=1, wire=resuming()).session is not peer.session
    peer.say("codec", name="loud")
    assert bench.resume(peer, received=1).session is not peer.session


async def test_a_session_that_cannot_resume_has_no_token_to_guess() -> None:
    bench = Bench()
    joined(bench)
    peer = bench.connect()
    bench.flush()
    again = bench.connect(session=peer.session.id, token="", received="0")
    assert again.session is not peer.session


async def test_the_old_token_is_good_until_the_first_message_under_the_new_one() -> None:
    bench = Bench()
    peer = joined(bench)
    first = peer.welcome["token"]
    second = bench.resume(peer, received=1)
    third = bench.resume(peer, received=1, token=first)  # cut before it heard the welcome
    fourth = bench.resume(peer, received=1, token=first)  # and again
    assert second.session is third.session is fourth.session is peer.session
    assert bench.resume(peer, received=1, token=second.welcome["token"]).session is not peer.session
    fourth.say("Beat", is_answer=True)
    assert bench.resume(peer, received=1, token=first).session is not peer.session
    assert bench.resume(fourth, received=1).session is peer.session


async def test_a_stopping_node_resumes_nothing() -> None:
    bench = Bench()
    peer = joined(bench)
    peer.cut()
    bench.node.is_stopping = True
    again = bench.resume(peer, received=1)
    assert again.session is not peer.session
    assert again.transport.closed == (1001, "the server stops")


# --- what cannot be made good ---------------------------------------------------------------------


async def test_a_tail_that_is_forgotten_makes_a_new_session() -> None:
    bench = Bench(limits=Limits(kept_messages=2))
    left: list[Left] = []
    channel = bench.channel("echo")

    @channel.leave
    async def leave(why: Left) -> None:
        left.append(why)

    peer = joined(bench)
    for n in range(4):
        put(peer.session, n)
    bench.flush()
    again = bench.resume(peer, received=1)
    assert peer.transport.closed == (4409, "replaced by a newer connection")
    assert peer.session.has_ended
    assert [(why.code, why.clean) for why in left] == [(4410, False)]
    bench.flush()
    assert "resumed" not in again.welcome
    assert list(bench.node.sessions.values()) == [again.session]
    again.join("echo")
    assert again.news()[-1]["t"] == "Joined"


@pytest.mark.parametrize("count", [0, 6, 99])
async def test_a_count_that_cannot_be_made_good_ends_a_held_session(count: int) -> None:
    bench = Bench(limits=Limits(kept_messages=2))
    peer = joined(bench)
    for n in range(4):
        put(peer.session, n)
    bench.flush()
    again = bench.resume(peer)
    again.say("Ack", seq=count)
    assert again.transport.closed == (4400, "what is missing is not kept any more")
    assert again.heard[-1]["t"] == "Bye"
    assert "retry" not in again.heard[-1]  # come back at once
    assert again.session.has_ended


async def test_an_acknowledgement_of_what_was_never_sent_breaks_the_rules() -> None:
    bench = Bench()
    peer = joined(bench)
    peer.say("Ack", seq=1)
    peer.say("Ack", seq=2)
    assert peer.transport.closed == (4400, "acknowledges what was never sent")


async def test_what_a_peer_says_it_lacks_is_written_again_over_the_same_transport() -> None:
    bench = Bench()
    peer = joined(bench)
    for n in range(3):
        put(peer.session, n)
    bench.flush()
    put(peer.session, 3)
    assert peer.session.rewind(2)  # the answer to its join, and 0
    bench.flush()
    assert numbers(peer) == [0, 1, 2, 1, 2, 3]
    assert peer.session.rewind(5)
    bench.flush()
    assert numbers(peer) == [0, 1, 2, 1, 2, 3]


async def test_what_is_forgotten_or_was_never_written_cannot_be_written_again() -> None:
    bench = Bench(limits=Limits(kept_messages=2))
    peer = joined(bench)
    for n in range(4):
        put(peer.session, n)
    bench.flush()
    for count in (0, 2, 6):
        assert not peer.session.rewind(count)
    bench.flush()
    assert numbers(peer) == [0, 1, 2, 3]
    assert not peer.session.has_ended


async def test_the_window_is_over_when_it_is() -> None:
    bench = Bench(limits=Limits(resume=60.0))
    peer = joined(bench)
    peer.cut()
    bench.clock.move(59.0)
    again = bench.resume(peer, received=1)
    assert again.session is peer.session
    again.cut()
    bench.clock.move(59.0)
    assert not again.session.has_ended
    bench.clock.move(1.0)
    assert again.session.has_ended
    assert bench.resume(again, received=1).session is not peer.session
    assert len(bench.clock.deadlines) == 1


async def test_a_resume_of_zero_seconds_is_none() -> None:
    bench = Bench(limits=Limits(resume=0.0))
    peer = joined(bench)
    bench.flush()
    assert peer.welcome["token"] is None
    peer.cut()
    assert peer.session.has_ended


# --- the whole, against a model -------------------------------------------------------------------


class Client:
    """A client of the test wire that resumes: the model of what the protocol asks of one.

    `line`: what was written to it and has not arrived yet; a cut loses that and all in `out`.
    """

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.session = ""
        self.known = ""
        """The token it would resume with: the last one it heard."""
        self.received = 0
        self.heard: list[int] = []
        self.read = 0
        self.sent = 0
        self.kept: list[tuple[int, int]] = []
        """(count, n) of what the server may not have."""
        self.out: list[tuple[int, int]] = []
        """What is on its way to the server."""


class Resuming(RuleBasedStateMachine):
    """Both ends count; whatever is cut, everything arrives once and in order while it can.

    As the protocol says, a client is silent on a new transport until it has heard its welcome.
    """

    @initialize(kept=st.sampled_from([3, 1000]), with_count=st.booleans())
    def begin(self, kept: int, with_count: bool) -> None:
        self.bench = Bench(limits=Limits(kept_messages=kept, beat=0.0, waiting_events=10_000))
        self.with_count = with_count
        self.arrived: list[int] = []  # at the server
        channel = self.bench.channel("home")
        channel_on = channel.on("n")
        arrived = self.arrived

        async def number(member: Member, n: int) -> None:
            arrived.append(n)

        channel_on(number)
        self.wire = resuming()
        self.wire.home = "home"
        self.client = Client()
        self.put = 0  # by the server, in this session
        self.said = 0  # by the client, in this session
        self.open()
        self.hear(1)

    def open(self, **query: Any) -> None:
        client = self.client
        client.peer = self.bench.connect(self.wire, user="ana", transport=TestTransport(), **query)
        client.read = 0
        client.out = []
        self.is_held = self.is_welcomed = False

    def anew(self) -> None:
        """The server has opened a new session: both ends start from nothing."""
        client = self.client
        client.received = client.sent = 0
        client.heard, client.kept, client.out = [], [], []
        self.arrived.clear()
        self.put = self.said = 0

    @property
    def peer(self) -> Peer:
        assert self.client.peer is not None
        return self.client.peer

    @property
    def is_attached(self) -> bool:
        return self.peer.session.transport is self.peer.transport

    @rule(count=st.integers(1, 3))
    def server_sends(self, count: int) -> None:
        for _ in range(count):
            put(self.peer.session, self.put)
            self.put += 1

    @precondition(lambda self: self.is_attached and self.is_welcomed)
    @rule()
    def client_sends(self) -> None:
        client = self.client
        client.sent += 1
        client.kept.append((client.sent, self.said))
        client.out.append((client.sent, self.said))
        self.said += 1

    @precondition(lambda self: self.is_attached)
    @rule(count=st.integers(1, 4))
    def server_hears(self, count: int) -> None:
        for _, n in self.client.out[:count]:
            self.peer.push("home", "n", n)
        del self.client.out[:count]

    @rule()
    def flush(self) -> None:
        self.bench.flush()

    @precondition(lambda self: self.is_attached)
    @rule(stuck=st.booleans())
    def block(self, stuck: bool) -> None:
        if stuck:
            self.peer.transport.is_stuck = True
        elif self.peer.transport.is_stuck:
            self.peer.unstick()

    @precondition(lambda self: self.is_attached)
    @rule(count=st.integers(1, 6))
    def client_hears(self, count: int) -> None:
        self.hear(count)

    def hear(self, count: int) -> None:
        client = self.client
        self.bench.flush()
        new = self.peer.heard[client.read :][:count]
        client.read += len(new)
        for one in new:
            self.take(one)

    def take(self, one: dict[str, Any]) -> None:
        client = self.client
        if one["t"] == "Welcome":
            client.session, client.known = one["session"], one["token"]
            self.is_welcomed = True
            if one.get("resumed"):
                have = one["received"] if "received" in one else 0
                client.kept = [(at, n) for at, n in client.kept if at > have]
                client.out = list(client.kept)
                if self.is_held:
                    self.peer.say("Ack", seq=client.received)
                    self.is_held = False
            return
        if one["t"] not in UNCOUNTED:
            client.received += 1
        if one["t"] == "x":
            client.heard.append(one["n"])

    @precondition(lambda self: self.is_attached)
    @rule()
    def all_arrives(self) -> None:
        if self.peer.transport.is_stuck:
            self.peer.unstick()
        self.hear(10_000)
        self.server_hears(10_000)

    @precondition(lambda self: self.is_attached and self.is_welcomed)
    @rule()
    def client_acknowledges(self) -> None:
        self.peer.say("Ack", seq=self.client.received)

    @precondition(lambda self: self.is_attached and self.is_welcomed and not self.is_held)
    @rule()
    def an_answer_is_lost_and_asked_for_again(self) -> None:
        """As on polls: what was written and not heard is written again, to the same transport."""
        self.bench.flush()
        if self.peer.session.rewind(self.client.received):
            self.client.read = len(self.peer.heard)

    @precondition(lambda self: self.is_attached)
    @rule()
    def cut(self) -> None:
        self.peer.cut()
        self.client.out = []

    @precondition(lambda self: self.client.known)
    @rule(wait=st.sampled_from([0.0, 100.0]), hears=st.booleans())
    def resume(self, wait: float, hears: bool) -> None:
        """From any state: also while the old transport is still open."""
        client = self.client
        if not self.is_attached:
            self.bench.clock.move(wait)
        before = self.peer.session
        if client.session != before.id:  # it never heard of it: that one is nobody's
            if self.is_attached:
                self.peer.cut(1000, is_clean=True)
            self.bench.clock.move(120.0)
        was_ended = before.has_ended
        query = {"session": client.session, "token": client.known}
        if self.with_count:
            query["received"] = str(client.received)
        missing = before.outbox.written - client.received
        kept = 0 if before.outbox._kept is None else len(before.outbox._kept)
        old = self.peer
        self.open(**query)
        if self.peer.session is before:
            assert not was_ended
            self.is_held = not self.with_count
            assert not self.with_count or missing <= kept
            if old.transport.closed is None and old.transport is not self.peer.transport:
                assert old.session.transport is self.peer.transport
        else:
            assert was_ended or missing > kept
            self.anew()
        if hears:
            self.hear(1)

    @precondition(lambda self: self.client.known)
    @rule()
    def stranger(self) -> None:
        """Somebody with a wrong secret gets a session of its own."""
        before = self.peer.session
        other = self.bench.connect(
            self.wire, user="ana", session=self.client.session, token="guess", received="0"
        )
        assert other.session is not before
        other.cut(1000, is_clean=True)

    @precondition(lambda self: not self.is_attached)
    @rule(chance=st.integers(0, 4))
    def window_ends(self, chance: int) -> None:
        if chance:
            return
        self.bench.clock.move(120.0)
        assert self.peer.session.has_ended

    @invariant()
    def nothing_is_lost_doubled_or_reordered(self) -> None:
        if not hasattr(self, "client"):
            return
        assert self.arrived == list(range(len(self.arrived)))
        assert self.client.heard == list(range(len(self.client.heard)))
        outbox = self.peer.session.outbox
        assert outbox.acked <= outbox.written
        machine = self.peer.session.machine
        assert isinstance(machine, TestMachine)
        assert machine.received == len(self.arrived)

    @invariant()
    def nothing_is_left_behind(self) -> None:
        if not hasattr(self, "client"):
            return
        node = self.bench.node
        session = self.peer.session
        alive = {} if session.has_ended else {session.id: session}
        assert node.sessions == alive
        users = {id: set(sessions) for id, sessions in node.users.items()}
        assert users == ({"ana": {session}} if alive else {})
        assert len(self.bench.clock.deadlines) == (bool(alive) and not self.is_attached)

    def teardown(self) -> None:
        """However it went: one more resume, and all that was said is there."""
        if not hasattr(self, "client") or not self.client.known:
            return
        if self.peer.transport.is_stuck and self.is_attached:
            self.peer.unstick()
        self.resume(0.0, True)
        self.all_arrives()
        if self.peer.session.has_ended:  # it was held, and its count too old
            assert self.peer.transport.closed is not None
            return
        assert self.client.heard == list(range(self.put))
        assert self.arrived == list(range(self.said))
        assert self.client.received == self.peer.session.outbox.written


@pytest.mark.slow
async def test_nothing_is_lost_doubled_or_reordered_while_it_can_be_resumed() -> None:
    run_state_machine_as_test(
        Resuming, settings=settings(max_examples=80, stateful_step_count=40, deadline=None)
    )


# --- who has nothing to come back to --------------------------------------------------------------


async def test_a_conversation_of_one_membership_waits_for_its_client_only_while_that_stands() -> (
    None
):
    wire = TestWire(FULL | Cap.RESUME, is_single=True)
    bench = Bench()
    bench.channel("echo")
    peer = bench.connect(wire)
    bench.flush()
    peer.cut()
    assert peer.session.has_ended, "its handshake never came"
    peer = joined(bench, wire)
    peer.cut()
    assert not peer.session.has_ended
