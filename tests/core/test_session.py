"""Tests of anywire.core.session, but for resume as a whole: see test_resume."""

import asyncio
import json
import logging
from collections.abc import Sequence

import pytest

from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.core.session import FLUSH_BYTES, Side, Tapped
from anywire.errors import ProtocolError
from anywire.frames import Auth, Beat, Event, Frame, Gap
from anywire.limits import Limits
from anywire.payload import UNFRAMED, Payload, Policy
from anywire.wires.base import Answer, Cap, Hello, Opening, Role
from tests.core.support import (
    BOXED,
    FULL,
    Bench,
    Boxed,
    TestMachine,
    TestTransport,
    TestWire,
    echo,
    idle,
    machine,
    running,
    turns,
)

RESUME = TestWire(FULL | Cap.RESUME)


# --- opening --------------------------------------------------------------------------------------


async def test_the_welcome_comes_first_and_tells_the_limits() -> None:
    bench = Bench(limits=Limits(message=1000, beat=20.0))
    peer = bench.connect()
    bench.flush()
    [welcome] = peer.heard
    assert welcome == {
        "t": "Welcome",
        "session": peer.session.id,
        "token": None,
        "beat": 20.0,
        "limits": {"message": 1000, "resume": 0},
    }


async def test_a_conversation_that_can_resume_is_told_how_long() -> None:
    bench = Bench(limits=Limits(resume=60.0))
    peer = bench.connect(RESUME)
    bench.flush()
    assert peer.welcome["token"]
    assert peer.welcome["limits"]["resume"] == 60.0


class Telling(TestWire):
    """A wire that gives its sessions a secret of its own making."""

    role = Role.NEW

    def open(self, hello: Hello) -> Opening | Answer:
        opening = super().open(hello)
        assert isinstance(opening, Opening)
        opening.token, opening.role = "told elsewhere", self.role
        return opening


async def test_a_wire_may_make_the_secret_of_a_session_that_cannot_resume() -> None:
    bench = Bench()
    peer = bench.connect(Telling())
    bench.flush()
    assert peer.session.accepts("told elsewhere")
    assert not peer.session.resumes
    assert peer.welcome["limits"]["resume"] == 0
    peer.cut()
    assert idle(bench)


async def test_a_secret_that_the_client_showed_does_not_become_that_of_a_new_session() -> None:
    wire = Telling(FULL | Cap.RESUME)
    wire.role = Role.DOWNLINK
    session = Bench().connect(wire).session
    assert session.token and not session.accepts("told elsewhere")


async def test_an_implicit_join_is_taken_at_opening() -> None:
    bench = Bench()
    echo(bench)
    peer = bench.connect(TestWire(home="echo"))
    assert [one["t"] for one in peer.news()] == ["Joined"]
    assert list(peer.session.members) == ["echo"]


async def test_a_refused_implicit_join_closes_a_single_conversation() -> None:
    bench = Bench()
    peer = bench.connect(TestWire(home="nowhere", is_single=True))
    assert peer.transport.closed is not None
    assert peer.transport.closed[0] == 4403
    assert [one["t"] for one in peer.heard] == ["Welcome", "Refusal", "Bye"]
    assert idle(bench)


async def test_a_session_says_who_it_is() -> None:
    bench = Bench()
    peer = bench.connect(user="ana")
    assert repr(peer.session) == f"Session('{peer.session.id}', test, user='ana')"
    assert peer.session.is_attached
    peer.cut()
    assert not peer.session.is_attached


async def test_an_idle_session_has_one_deadline_and_no_task() -> None:
    bench = Bench()
    echo(bench)
    tasks = len(asyncio.all_tasks())
    peers = [bench.connect() for _ in range(10)]
    for peer in peers:
        peer.join("echo")
    await turns(2)
    assert len(bench.clock.deadlines) == 10
    assert len(asyncio.all_tasks()) == tasks
    for peer in peers:
        peer.cut()
    await turns(2)
    assert idle(bench)


# --- what comes in --------------------------------------------------------------------------------


async def test_each_frame_of_a_message_is_handled_in_order() -> None:
    bench = Bench()
    echo(bench)
    peer = bench.connect()
    call = {"t": "Event", "alias": "echo", "event": "say", "want": "REPLY"}
    peer.say_all(
        {"t": "Join", "address": "echo", "ref": 1},
        {**call, "args": ["a"], "ref": 2},
        {"t": "Leave", "alias": "echo", "ref": 3},
        {**call, "args": ["b"], "ref": 4},
    )
    heard = [(one["t"], one["ref"], one.get("code")) for one in peer.news()]
    assert heard == [
        ("Joined", 1, None),
        ("Reply", 2, None),
        ("Leave", 3, None),
        ("Reply", 4, "unknown_address"),
    ]


async def test_every_frame_of_a_client_finds_its_place() -> None:
    bench = Bench()
    echo(bench)
    peer = bench.connect()
    peer.join("echo")
    for frame in ("Item", "End", "Cancel", "Reply"):
        peer.say(frame, ref=77, **({"data": 1} if frame == "Item" else {}))
    peer.say("Past", ref=5, alias="echo", since={}, limit=3)
    peer.say("Auth", ref=6)
    peer.say("Beat", echo="x")
    peer.say("Beat", is_answer=True)
    heard = [(one["t"], one.get("ref"), one.get("echo")) for one in peer.news()]
    assert heard == [
        ("Joined", "j", None),
        ("Reply", 5, None),
        ("Refusal", 6, None),
        ("Beat", None, "x"),
    ]
    assert not peer.session.has_ended


async def test_a_frame_that_only_servers_send_breaks_the_rules() -> None:
    bench = Bench()
    peer = bench.connect()
    peer.say("Welcome", session="s", token=None, beat=1.0)
    assert peer.transport.closed == (4400, "a client does not send Welcome")


async def test_what_breaks_the_rules_closes_with_its_code() -> None:
    bench = Bench()
    peer = bench.connect()
    peer.say_all({"t": "due"})
    peer.say("break", code=1007)
    assert peer.transport.closed == (1007, "told to break")
    assert [one["t"] for one in peer.heard] == ["Welcome", "due", "Bye"]
    assert idle(bench)


async def test_a_machine_that_is_done_says_no_goodbye() -> None:
    bench = Bench()
    peer = bench.connect()
    machine(peer).broken = ProtocolError("done", code=1002)
    peer.say("break", code=1002)
    assert peer.transport.closed == (1002, "told to break")
    assert [one["t"] for one in peer.heard] == ["Welcome"]


async def test_a_machine_that_cannot_send_closes_with_its_code() -> None:
    bench = Bench()
    channel = echo(bench)
    left: list[object] = []

    @channel.leave
    async def leave(why: Left) -> None:
        left.append(why.code)

    peer = bench.connect()
    peer.join("echo")
    machine(peer).broken = ProtocolError("cannot say this", code=4400)
    peer.call("echo", "say", "hi")
    assert peer.transport.closed == (4400, "cannot say this")
    assert left == [4400]
    assert idle(bench)


async def test_what_comes_after_the_end_is_not_heard() -> None:
    bench = Bench()
    channel = echo(bench)
    joins: list[str] = []

    @channel.join
    async def join(member: Member) -> None:
        joins.append(member.id)

    peer = bench.connect()
    peer.say_all({"t": "Bye", "code": 0}, {"t": "Join", "address": "echo"})
    peer.join("echo")
    assert peer.transport.closed == (1000, "")
    assert joins == []
    assert idle(bench)


async def test_a_client_says_goodbye_with_its_own_code() -> None:
    bench = Bench()
    peer = bench.connect()
    peer.say("Bye", code=4000, text="enough")
    assert peer.transport.closed == (4000, "enough")


async def test_joins_are_taken_from_a_bucket_that_fills_again() -> None:
    bench = Bench(limits=Limits(joins=2, beat=0.0))
    echo(bench)
    peer = bench.connect()
    for alias in "abc":
        peer.join("echo", alias=alias)
    assert [one["t"] for one in peer.news()] == ["Joined", "Joined", "Refusal"]
    bench.clock.move(0.5)
    peer.join("echo", alias="d")
    peer.join("echo", alias="e")
    assert [one["t"] for one in peer.news()] == ["Joined", "Refusal"]
    bench.clock.move(100.0)
    for alias in "fgh":
        peer.join("echo", alias=alias)
    assert [one["t"] for one in peer.news()] == ["Joined", "Joined", "Refusal"]


# --- beats ----------------------------------------------------------------------------------------


async def test_a_silent_peer_is_probed_then_gone() -> None:
    bench = Bench()
    peer = bench.connect()
    bench.clock.move(24.9)
    assert peer.transport.beats == 0
    bench.clock.move(0.1)
    assert peer.transport.beats == 1
    bench.clock.move(9.9)
    assert peer.transport.closed is None
    bench.clock.move(0.1)
    assert peer.transport.closed == (4410, "nothing heard in time")
    assert peer.transport.is_aborted
    assert peer.session.has_ended
    assert idle(bench)


async def test_a_peer_that_is_heard_lives() -> None:
    bench = Bench()
    peer = bench.connect()
    for _ in range(20):
        bench.clock.move(25.0)
        peer.session.heard(bench.clock.now())
    assert peer.transport.closed is None
    peer.say("Beat", is_answer=True)
    bench.clock.move(24.0)
    assert len(bench.clock.deadlines) == 1


async def test_a_silent_peer_that_can_resume_is_kept_for_its_window() -> None:
    bench = Bench(limits=Limits(resume=60.0))
    peer = bench.connect(RESUME)
    bench.clock.move(35.0)
    assert peer.transport.closed == (4410, "nothing heard in time")
    assert not peer.session.has_ended
    assert len(bench.clock.deadlines) == 1
    bench.clock.move(59.9)
    assert not peer.session.has_ended
    bench.clock.move(0.1)
    assert peer.session.has_ended
    assert idle(bench)


async def test_without_a_probe_of_its_carrier_the_wire_s_own_beat_is_said() -> None:
    bench = Bench()
    peer = bench.connect(transport=TestTransport(beats=False))
    bench.clock.move(25.0)
    assert peer.news() == [{"t": "Beat"}]


async def test_the_silence_of_a_peer_that_nobody_can_ask_says_nothing() -> None:
    class Wordless(TestMachine):
        def send(self, frame: Frame) -> Sequence[Payload]:
            return () if isinstance(frame, Beat) else super().send(frame)

    bench = Bench()
    peer = bench.connect(transport=TestTransport(beats=False))
    peer.session.machine = Wordless(TestWire(), bench.node.limits)
    peer.session.machine.opened(bench.clock.now())
    for _ in range(10):
        bench.clock.move(25.0)
    assert not peer.session.has_ended
    assert peer.news() == []


async def test_a_machine_that_breaks_in_its_tick_closes() -> None:
    bench = Bench()
    peer = bench.connect()
    machine(peer).broken = ProtocolError("late", code=4400)
    bench.clock.move(25.0)
    assert peer.transport.closed == (4400, "late")
    assert idle(bench)


async def test_what_a_tick_says_beside_beats_is_left_to_the_machine() -> None:
    bench = Bench()
    peer = bench.connect()

    def tick(now: float) -> list[Frame]:
        machine(peer).heard(now)
        return [Event("a", "e", Auth(None, None).credentials), Beat()]  # type: ignore[arg-type]

    machine(peer).tick = tick  # type: ignore[method-assign]
    bench.clock.move(25.0)
    assert peer.transport.beats == 1
    assert peer.news() == []


async def test_a_machine_without_a_beat_is_never_asked() -> None:
    bench = Bench(limits=Limits(beat=0.0))
    peer = bench.connect()
    assert len(bench.clock.deadlines) == 0
    bench.clock.move(1000.0)
    assert not peer.session.has_ended


async def test_a_beat_switched_off_since_its_deadline_was_set_is_not_asked_again() -> None:
    bench = Bench()
    peer = bench.connect()
    machine(peer).pulse.beat = 0.0
    bench.clock.move(1000.0)
    assert not peer.session.has_ended
    assert len(bench.clock.deadlines) == 0


# --- what goes out --------------------------------------------------------------------------------


async def test_what_is_said_in_one_turn_is_one_write() -> None:
    bench = Bench()
    echo(bench)
    peer = bench.connect()
    peer.join("echo")
    await turns(1)
    written = len(peer.transport.writes)
    for n in range(16):
        peer.call("echo", "say", f"{n}", ref=n)
    assert len(peer.transport.writes) == written
    await turns(1)
    assert len(peer.transport.writes) == written + 1
    assert [one["data"] for one in peer.heard[-16:]] == [f"{n}" for n in range(16)]


async def test_one_turn_hands_over_64_kib_and_the_next_ones_the_rest() -> None:
    bench = Bench()
    peer = bench.connect()
    bench.flush()
    peer.transport.writes.clear()
    payloads = [Payload(json.dumps({"t": "x", "n": n}).encode().ljust(20_000)) for n in range(10)]
    for payload in payloads:
        peer.session.enqueue(payload)
    bench.node.flush()
    assert [len(write) for write in peer.transport.writes] == [3]
    bench.node.flush()
    assert [len(write) for write in peer.transport.writes] == [3, 3]
    bench.flush()
    sizes = [sum(entry.size for entry in write) for write in peer.transport.writes]
    assert all(size <= FLUSH_BYTES for size in sizes)
    assert [one["n"] for one in peer.news()] == list(range(10))


async def test_a_session_marked_twice_is_written_once_in_a_turn() -> None:
    bench = Bench()
    peer = bench.connect()
    bench.flush()
    peer.transport.writes.clear()
    for _ in range(10):
        peer.session.enqueue(Payload(b"{}".ljust(20_000)))
    peer.session.writable()
    bench.node.flush()
    assert [len(write) for write in peer.transport.writes] == [3]


async def test_nothing_more_is_handed_over_until_the_transport_has_taken_it() -> None:
    bench = Bench()
    peer = bench.connect()
    peer.transport.is_stuck = True
    bench.flush()
    written = len(peer.transport.writes)
    for n in range(3):
        peer.session.enqueue(Payload(b'{"t":"x","n":%d}' % n))
        bench.flush()
    assert len(peer.transport.writes) == written
    peer.unstick()
    assert [one["n"] for one in peer.news()] == [0, 1, 2]
    assert len(peer.transport.writes) == written + 1
    peer.session.writable()
    assert bench.node.dirty == []


async def test_an_empty_message_goes_out_like_any_other() -> None:
    bench = Bench()
    peer = bench.connect(framing=UNFRAMED)
    bench.flush()
    peer.session.enqueue(Payload(b""))
    bench.flush()
    peer.session.enqueue(Payload(b"after"))
    bench.flush()
    assert [payload.data for payload in peer.transport.payloads[1:]] == [b"", b"after"]


async def test_entries_are_framed_for_the_transport() -> None:
    bench = Bench()
    peer = bench.connect(framing=BOXED)
    bench.flush()
    [[welcome]] = peer.transport.writes
    assert welcome.data == b"#" + welcome.payload.data


async def test_a_framed_entry_is_put_as_it_is_and_the_caller_marks() -> None:
    bench = Bench()
    peer = bench.connect()
    bench.flush()
    framed = Payload(b"{}").framed(UNFRAMED)
    assert peer.session.outbox.put(framed)
    assert bench.node.dirty == []
    assert not peer.session.outbox.put(framed)


async def test_a_slow_client_is_closed_once_too_much_waits() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    peer = bench.connect()
    peer.transport.is_stuck = True
    await turns(2)
    for _ in range(10):
        peer.session.enqueue(Payload(b"x" * 100))
    await turns(2)
    assert peer.transport.closed is None
    peer.session.enqueue(Payload(b"x"))
    await turns(2)
    assert peer.transport.closed == (4408, "too slow")
    assert peer.session.outbox.waiting == 0
    assert idle(bench)


async def test_a_session_that_is_away_is_ended_once_too_much_waits() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    peer = bench.connect(RESUME)
    await turns(1)
    peer.cut()
    for _ in range(10):
        peer.session.enqueue(Payload(b"x" * 100))
    await turns(1)
    assert not peer.session.has_ended
    peer.session.enqueue(Payload(b"x"))
    await turns(1)
    assert peer.session.has_ended
    assert idle(bench)


async def test_a_volatile_entry_is_dropped_while_the_client_is_slow() -> None:
    bench = Bench()
    peer = bench.connect()
    peer.transport.is_stuck = True
    bench.flush()
    peer.session.enqueue(Payload(b'{"t":"x"}', volatile=True))
    peer.session.enqueue(Payload(b'{"t":"y"}'))
    peer.unstick()
    peer.session.enqueue(Payload(b'{"t":"z"}', volatile=True))
    assert [one["t"] for one in peer.news()] == ["y", "z"]


async def test_a_gap_is_told_once_per_room_with_the_next_flush_and_overflows_nothing() -> None:
    bench = Bench(limits=Limits(outbox=2000))
    bench.channel("news", policy=Policy.DROP_OLDEST)
    bench.channel("other")
    peer, other = bench.connect(), bench.connect()
    for one in (peer, other):
        one.join("news")
        one.join("other")
    peer.transport.is_stuck = True
    other.news()
    await turns(2)
    await bench.node.start()
    room = bench.node.room("news")
    for n in range(40):
        await room.publish("n", n, "x" * 50)
        await turns(1)
    waiting = peer.session.outbox.waiting
    assert 1900 < waiting <= 2000
    peer.unstick()
    news = peer.news()
    gaps = [one for one in news if one["t"] == "Gap"]
    told = [one["args"][0] for one in news if one["t"] == "Event"]
    assert told == list(range(40 - len(told), 40))
    assert gaps == [{"t": "Gap", "alias": "news", "lost": 40 - len(told)}]
    assert not peer.session.has_ended
    assert [one["args"][0] for one in other.news()] == list(range(40))
    await room.publish("n", 41)
    assert [one["t"] for one in peer.news()] == ["Event"]
    await bench.node.stop()


async def test_a_gap_that_cannot_be_said_closes_the_session_and_breaks_nothing() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    bench.channel("news", policy=Policy.DROP_OLDEST)
    await bench.node.start()
    peer = bench.connect()
    for alias in ("a", "b"):
        peer.join("news", alias=alias)
    peer.transport.is_stuck = True
    await turns(2)
    for n in range(40):
        await bench.node.room("news").publish("n", n, "x" * 50)
    machine(peer).broken = ProtocolError("no gaps here", code=4400)
    peer.unstick()
    bench.flush()
    assert peer.transport.closed == (4400, "no gaps here")
    await bench.node.stop()


# --- senders that wait ----------------------------------------------------------------------------


async def test_a_sender_waits_while_the_outbox_is_over_its_mark() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    bench.channel("echo")
    peer = bench.connect()
    peer.join("echo")
    peer.transport.is_stuck = True
    await turns(2)
    member = peer.session.members["echo"]
    sends = [asyncio.create_task(member.send("e", "x" * 400)) for _ in range(2)]
    await turns(2)
    assert [send.done() for send in sends] == [True, False]
    assert peer.session.is_over_mark
    peer.unstick()
    bench.flush()
    await asyncio.gather(*sends)
    assert peer.session.waiters is None


@pytest.mark.parametrize("end", ["cut", "close"])
async def test_senders_that_wait_are_let_go_when_the_session_ends(end: str) -> None:
    bench = Bench(limits=Limits(outbox=1000))
    bench.channel("echo")
    peer = bench.connect()
    peer.join("echo")
    peer.transport.is_stuck = True
    await turns(2)
    member = peer.session.members["echo"]
    send = asyncio.create_task(member.send("e", "x" * 600))
    late = asyncio.create_task(bench.node.drained(peer.session))
    given_up = asyncio.create_task(bench.node.drained(peer.session))
    await turns(2)
    given_up.cancel()
    await turns(1)
    if end == "cut":
        peer.cut()
    else:
        peer.session.close(4000, "enough")
    await asyncio.gather(send, late)
    await bench.node.drained(peer.session)  # it has ended: nothing to wait for


async def test_a_client_that_does_not_read_is_not_read_until_it_does() -> None:
    bench = Bench(limits=Limits(outbox=10_000))
    echo(bench)
    peer = bench.connect()
    peer.join("echo")
    peer.transport.is_stuck = True
    await turns(2)
    sent = 0
    while not peer.transport.is_paused:
        peer.call("echo", "say", "x" * 200, ref=sent)
        sent += 1
    assert 5_000 < peer.session.outbox.waiting < 6_000
    peer.call("echo", "say", "y", ref=sent)  # what was read already is still handled
    peer.unstick()
    news = [one for one in peer.news() if one["t"] == "Reply"]
    assert [one["ref"] for one in news] == list(range(sent + 1))
    assert not peer.transport.is_paused


async def test_while_a_client_is_not_read_the_progress_of_its_reading_keeps_it_alive() -> None:
    bench = Bench(limits=Limits(outbox=400_000, message=1 << 20))
    echo(bench)
    peer = bench.connect()
    peer.join("echo")
    peer.transport.is_stuck = True
    await turns(2)
    while not peer.transport.is_paused:
        peer.call("echo", "say", "x" * 50_000)
    for _ in range(3):
        bench.clock.move(30.0)
        peer.transport.buffered = 0
        peer.session.writable()
        bench.node.flush()
        assert peer.transport.closed is None
    bench.clock.move(40.0)
    assert peer.transport.closed == (4410, "nothing heard in time")
    assert idle(bench)


async def test_a_burst_of_requests_with_too_long_answers_ends_with_the_second_too_many() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    handled: list[int] = []
    channel = bench.channel("echo")

    @channel.on("big")
    async def big() -> str:
        handled.append(1)
        return "x" * 300

    peer = bench.connect()
    peer.join("echo")
    bench.flush()
    for n in range(100):
        peer.call("echo", "big", ref=n)
    assert peer.transport.closed == (4408, "too slow")
    assert len(handled) == 4


async def test_one_answer_that_is_larger_than_an_outbox_makes_nobody_slow() -> None:
    bench = Bench(limits=Limits(outbox=1000))
    channel = bench.channel("echo")

    @channel.on("big")
    async def big() -> str:
        return "x" * 5000

    @channel.on("small")
    async def small() -> str:
        return "x"

    peer = bench.connect()
    peer.join("echo")
    for n in range(3):
        bench.flush()
        peer.news()
        peer.call("echo", "big", ref=f"big{n}")
        peer.call("echo", "small", ref=f"small{n}")
        bench.flush()
        bench.flush()
        assert [one["ref"] for one in peer.news()] == [f"big{n}", f"small{n}"]
    peer.transport.is_stuck = True
    peer.call("echo", "big", ref="written")
    bench.flush()
    assert peer.transport.closed is None
    peer.call("echo", "big", ref="too many")
    assert peer.transport.closed == (4408, "too slow")


# --- lanes ----------------------------------------------------------------------------------------


async def test_a_machine_that_changes_its_codec_moves_its_members_to_other_lanes() -> None:
    bench = Bench()
    bench.channel("news")
    await bench.node.start()
    peer, other = bench.connect(), bench.connect()
    for one in (peer, other):
        one.join("news", alias="n")
    room = bench.node.rooms["news"]
    assert set(room.lanes) == {("test", "n")}
    bench.wire.other("loud", Cap.NONE)
    peer.say("codec", name="loud")
    assert set(room.lanes) == {("test", "n"), ("loud", "n")}
    assert not peer.session.can_reply
    assert not peer.session.can_stream
    await room.publish("e", 1)
    assert [one.get("codec") for one in peer.news() + other.news() if one["t"] == "Event"] == [
        "loud",
        None,
    ]
    peer.cut()
    other.cut()
    await bench.node.stop()
    assert bench.node.rooms == {}


async def test_transports_with_equal_framings_share_a_division() -> None:
    bench = Bench()
    bench.channel("news")
    await bench.node.start()
    a, b = bench.connect(framing=Boxed("x")), bench.connect(framing=Boxed("x"))
    away = bench.connect(RESUME, framing=Boxed("x"))
    for one in (a, b, away):
        one.join("news", alias="n")
    away.cut()
    [lane] = bench.node.rooms["news"].lanes.values()
    assert [len(division.members) for division in lane.divisions.values()] == [2, 1]
    assert list(lane.divisions) == [("x", 0), ("none", 0)]
    await bench.node.stop()


# --- taps -----------------------------------------------------------------------------------------


async def test_a_tap_sees_messages_and_frames_of_both_ways_in_order() -> None:
    bench = Bench()
    echo(bench)
    peer = bench.connect()
    bench.flush()
    tapped: list[Tapped] = []
    peer.session.tap = tapped.append
    peer.join("echo")
    bench.flush()
    peer.call("echo", "say", "hi")
    bench.flush()
    peer.session.enqueue(Payload(b"1", rest=(Payload(b"2", is_text=False),)))
    bench.flush()
    peer.say("break", code=4400)
    told = [(one.side, type(one.message), [type(f).__name__ for f in one.frames]) for one in tapped]
    assert told == [
        (Side.IN, str, ["Join"]),
        (Side.OUT, str, []),
        (Side.IN, str, ["Event"]),
        (Side.OUT, str, []),
        (Side.OUT, str, []),
        (Side.OUT, bytes, []),
        (Side.IN, str, []),  # what broke the rules is seen as well
        (Side.OUT, str, []),
    ]
    assert '"Joined"' in str(tapped[1].message)
    assert '"Bye"' in str(tapped[-1].message)


async def test_a_message_that_breaks_the_rules_needs_no_tap() -> None:
    bench = Bench()
    peer = bench.connect()
    peer.session.receive("{", 0.0)
    assert peer.transport.closed == (1007, "not JSON")


# --- ends -----------------------------------------------------------------------------------------


async def test_without_resume_a_detached_session_has_ended() -> None:
    bench = Bench()
    channel = echo(bench)
    left: list[Left] = []

    @channel.leave
    async def leave(why: Left) -> None:
        left.append(why)

    peer = bench.connect()
    peer.join("echo")
    peer.cut(1006, "gone")
    assert [(why.code, why.text, why.clean) for why in left] == [(1006, "gone", False)]
    peer.cut()
    assert len(left) == 1
    await turns(2)
    assert idle(bench)


@pytest.mark.parametrize("code", [1000, 1001, 1005])
async def test_a_clean_goodbye_is_not_waited_for(code: int) -> None:
    bench = Bench()
    peer = bench.connect(RESUME)
    peer.cut(code, is_clean=True)
    assert idle(bench)


@pytest.mark.parametrize(("code", "is_clean"), [(1006, False), (1001, False), (4000, True)])
async def test_any_other_end_of_a_transport_is_waited_for(code: int, is_clean: bool) -> None:
    bench = Bench()
    peer = bench.connect(RESUME)
    peer.cut(code, is_clean=is_clean)
    assert not peer.session.has_ended
    bench.clock.move(120.0)
    assert idle(bench)


async def test_what_was_said_before_a_close_is_written_before_the_goodbye() -> None:
    bench = Bench()
    channel = bench.channel("echo")

    @channel.on("go")
    async def go(member: Member) -> None:
        await member.send("last", "words")
        await member.close(4000, "enough")
        await member.send("never", "heard")

    peer = bench.connect()
    peer.join("echo")
    peer.push("echo", "go")
    assert [one["t"] for one in peer.heard] == ["Welcome", "Joined", "Event", "Bye"]
    assert peer.heard[-1] == {"t": "Bye", "code": 4000, "text": "enough", "retry": None}
    assert peer.transport.closed == (4000, "enough")
    await turns(2)
    assert idle(bench)


async def test_a_handler_may_close_its_own_session_from_any_place() -> None:
    bench = Bench()
    channel = bench.channel("{room}")

    @channel.join
    async def join(member: Member, room: str) -> None:
        if room == "join":
            await member.close()

    @channel.leave
    async def leave(member: Member) -> None:
        await member.close()
        await member.room.publish("left", member.id)
        await member.send("never", "heard")

    @channel.on("now")
    async def now(member: Member) -> None:
        await member.close()

    @channel.on("later")
    async def later(member: Member) -> None:
        await asyncio.sleep(0)
        await member.close()

    await bench.node.start()
    watcher = bench.connect()
    watcher.join("event")
    for room, event in (("join", ""), ("event", "now"), ("event", "later"), ("event", "leave")):
        peer = bench.connect()
        peer.join(room)
        if event == "leave":
            peer.say("Leave", alias=room)
        elif event:
            peer.push(room, event)
            peer.push(room, event)
        await turns(5)
        assert peer.transport.closed is not None, event
        assert peer.session.members == {}
        assert peer.session.has_ended
    assert [one["event"] for one in watcher.news() if one["t"] == "Event"] == ["left"] * 3
    watcher.cut()
    await bench.node.stop()
    assert idle(bench)
    assert bench.node.rooms == {}


async def test_joins_and_leaves_may_publish_to_the_room_they_change() -> None:
    bench = Bench()
    channel = bench.channel("chat")

    @channel.join
    async def join(member: Member) -> None:
        await member.room.publish("joined", member.user.id)

    @channel.leave
    async def leave(member: Member) -> None:
        await member.room.publish("left", member.user.id)

    await bench.node.start()
    ana, bo = bench.connect(user="ana"), bench.connect(user="bo")
    ana.join("chat")
    bo.join("chat")
    bo.cut()
    assert ana.events() == [("joined", ["bo"]), ("left", ["bo"])]
    assert bo.events() == []
    ana.cut()
    await bench.node.stop()


async def test_nothing_is_written_after_the_goodbye() -> None:
    bench = Bench()
    peer = bench.connect()
    session = peer.session
    session.close(4000, "enough", retry=2.0)
    assert peer.heard[-1]["retry"] == 2.0
    session.close(4001, "again")
    session.end(4002, "again", is_clean=True)
    session.abort(4003, "again")
    written = len(peer.transport.payloads)
    session.enqueue(Payload(b"late"))
    session.send(Gap("a", 1))
    bench.flush()
    assert len(peer.transport.payloads) == written
    assert session.outbox.waiting == 0
    peer.cut(4000, is_clean=True)
    assert peer.transport.closed == (4000, "enough")


async def test_a_wire_without_a_goodbye_just_closes() -> None:
    bench = Bench()
    peer = bench.connect()
    bench.flush()
    machine(peer).send = lambda frame: ()  # type: ignore[method-assign]
    peer.session.close(4000, "enough")
    assert peer.transport.closed == (4000, "enough")
    assert [one["t"] for one in peer.heard] == ["Welcome"]


async def test_an_abort_hangs_up_without_a_word() -> None:
    bench = Bench()
    peer = bench.connect()
    bench.flush()
    peer.session.abort(1011, "broken")
    assert peer.transport.is_aborted
    assert peer.transport.closed is None
    assert [one["t"] for one in peer.heard] == ["Welcome"]
    away = bench.connect(RESUME)
    away.cut()
    away.session.abort(1011, "broken")
    assert idle(bench)


async def test_calls_that_wait_are_lost_with_their_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with running() as bench:
        channel = bench.channel("desk")
        failures: list[str] = []

        @channel.on("ask")
        async def ask(member: Member) -> None:
            try:
                await member.call("really", returns=bool)
            except Exception as error:
                failures.append(str(error))

        peer = bench.connect()
        peer.join("desk")
        peer.push("desk", "ask")
        assert bench.node.calls_of(peer.session) is peer.session.calls
        peer.cut()
        await turns(3)
        assert failures == ["lost: the client is gone"]
    assert not caplog.records


async def test_a_transport_that_is_full_is_not_asked_again_before_it_is_empty() -> None:
    async with running() as bench:
        peer = bench.connect()
        peer.news()
        peer.transport.is_stuck = True
        peer.session.enqueue(Payload(b"{}"))
        bench.node.flush()
        assert peer.session.outbox.is_blocked
        assert bench.node.dirty == []


async def test_much_said_in_one_turn_does_not_close_who_reads() -> None:
    async with running(limits=Limits(outbox=1_000)) as bench:
        peer = bench.connect()
        peer.news()
        for _ in range(5):
            peer.session.enqueue(Payload(b"{}".ljust(800)))
        bench.flush()
        assert peer.transport.closed is None
        assert len(peer.heard) == 6


async def test_who_broke_the_rules_may_come_back_in_a_second() -> None:
    async with running() as bench:
        peer = bench.connect()
        peer.session.receive("not what this wire speaks", 0.0)
        assert [one["retry"] for one in peer.heard if one["t"] == "Bye"] == [1.0]


async def test_what_the_machine_has_to_answer_is_said_before_the_last_word() -> None:
    async with running() as bench:
        peer = bench.connect()
        peer.say_all({"t": "due"}, {"t": "break", "code": 4400})
        assert [one["t"] for one in peer.heard[-2:]] == ["due", "Bye"]
