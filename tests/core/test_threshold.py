"""Tests of anywire.core.threshold: authentication by frame."""

import asyncio
import json
from typing import Any

import pytest

from anywire.core.member import Member
from anywire.errors import Refused
from anywire.limits import Limits
from anywire.wires.base import Cap, Hello, Identity, User
from anywire.wires.socketio import SocketIO
from anywire.wires.socketio.machine import ATTEMPTS
from tests.core.guest import Guest
from tests.core.support import FULL, Bench, TestTransport, TestWire, echo, idle, machine, turns

FRAME = Identity.FRAME


class Judge:
    """Judges credentials when a test says so; `credentials`: what it was shown."""

    def __init__(self) -> None:
        self.credentials: list[object] = []
        self.verdict: asyncio.Future[User | None] | None = None

    async def __call__(self, hello: Hello) -> User | None:
        self.credentials.append(hello.credentials)
        self.verdict = asyncio.get_running_loop().create_future()
        return await self.verdict

    async def say(self, user: User | Exception | None) -> None:
        assert self.verdict is not None
        if isinstance(user, Exception):
            self.verdict.set_exception(user)
        else:
            self.verdict.set_result(user)
        await turns(3)


def joining(bench: Bench) -> list[str]:
    """The users that join the channel `echo`, which is made."""
    users: list[str] = []

    @echo(bench).join
    async def join(member: Member) -> None:
        users.append(member.user.id)

    return users


async def test_before_its_credentials_are_judged_a_client_is_nobody() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    peer = bench.connect(TestWire(auth=FRAME))
    bench.flush()
    assert peer.heard == []
    assert bench.node.users == {}
    peer.say("Auth", credentials={"token": "t"})
    assert judge.credentials == [{"token": "t"}]
    assert peer.transport.is_paused
    await judge.say(User("ana"))
    assert not peer.transport.is_paused
    bench.flush()
    assert [one["t"] for one in peer.heard] == ["Welcome"]
    assert bench.node.users == {"ana": (peer.session,)}
    peer.cut()
    assert idle(bench)


async def test_what_came_behind_the_credentials_is_handled_after() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    users = joining(bench)
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say_all({"t": "Auth"}, {"t": "Join", "address": "echo", "ref": 1})  # one message
    peer.call("echo", "say", "hi", ref=2)
    peer.say("Auth", ref=3)
    bench.flush()
    assert not users
    assert not peer.heard
    await judge.say(User("ana"))
    bench.flush()
    heard = [(one["t"], one.get("ref")) for one in peer.heard]
    assert heard == [("Welcome", None), ("Joined", 1), ("Reply", 2), ("Refusal", 3)]
    assert users == ["ana"]


async def test_frames_of_one_message_behind_the_credentials_keep_their_order() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    echo(bench)
    peer = bench.connect(TestWire(auth=FRAME))
    say = {"t": "Event", "alias": "echo", "event": "say", "args": ["hi"], "want": "REPLY", "ref": 2}
    peer.say_all({"t": "Auth"}, {"t": "Join", "address": "echo", "ref": 1}, say)
    peer.say("Beat", echo="x")
    await judge.say(User("ana"))
    assert [one["t"] for one in peer.news()] == ["Joined", "Reply", "Beat"]


async def test_what_is_wrong_behind_the_credentials_is_found_after() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    wrong: dict[str, Any] = {"t": "Welcome", "session": "s", "token": None, "beat": 1.0}
    for frames in ([wrong, {"t": "Beat"}], [{"t": "Bye", "code": 4400}, wrong]):
        peer = bench.connect(TestWire(auth=FRAME))
        peer.say_all({"t": "Auth"}, *frames)
        assert peer.transport.closed is None
        await judge.say(User("ana"))
        assert peer.transport.closed is not None
        assert peer.transport.closed[0] == 4400
    assert idle(bench)


async def test_an_implicit_join_that_is_refused_after_authentication_ends_the_rest() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    peer = bench.connect(TestWire(auth=FRAME, home="nowhere", is_single=True))
    peer.say("Auth")
    peer.say_all({"t": "Beat"}, {"t": "Beat"})
    await judge.say(User("ana"))
    assert peer.transport.closed is not None
    assert peer.transport.closed[0] == 4403
    assert [one["t"] for one in peer.heard] == ["Welcome", "Refusal", "Bye"]


async def test_credentials_judged_at_once_let_the_rest_of_their_message_through() -> None:
    bench = Bench()
    echo(bench)
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say_all({"t": "Auth"}, {"t": "Join", "address": "echo"})
    bench.flush()
    assert [one["t"] for one in peer.heard] == ["Welcome", "Joined"]
    assert peer.session.user.is_anonymous


async def test_an_implicit_join_waits_for_the_credentials() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    users = joining(bench)
    peer = bench.connect(TestWire(auth=FRAME, home="echo"))
    assert users == []
    peer.say("Auth")
    await judge.say(User("ana"))
    assert users == ["ana"]


async def test_who_speaks_before_saying_who_it_is_is_closed() -> None:
    bench = Bench()
    channel = echo(bench)
    joins: list[str] = []

    @channel.join
    async def join(member: Member) -> None:
        joins.append(member.id)

    for frame in ({"t": "Join", "address": "echo"}, {"t": "Event", "alias": "a", "event": "e"}):
        peer = bench.connect(TestWire(auth=FRAME))
        peer.say("Beat")
        peer.say_all(frame)
        assert peer.transport.closed == (4401, "say who you are first")
    assert joins == []
    assert idle(bench)


async def test_a_client_may_leave_before_saying_who_it_is() -> None:
    bench = Bench()
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say_all({"t": "Bye", "code": 1000}, {"t": "Auth"})
    assert peer.transport.closed == (1000, "")
    assert idle(bench)


@pytest.mark.parametrize("is_judging", [False, True])
async def test_before_authentication_the_limit_is_tiny(is_judging: bool) -> None:
    beat = json.dumps({"t": "Beat", "echo": "x" * 40})
    judge = Judge()
    bench = Bench(authenticate=judge, limits=Limits(early_bytes=2 * len(beat)))
    peer = bench.connect(TestWire(auth=FRAME))
    for _ in range(4):  # what is taken at once does not add up
        peer.session.receive(beat, bench.clock.now())
    peer.session.receive(beat + " " * len(beat), bench.clock.now())
    assert peer.transport.closed is None
    if is_judging:
        peer.say("Auth")
        for _ in range(2):
            peer.session.receive(beat, bench.clock.now())
        assert peer.transport.closed is None
        peer.session.receive(" ", bench.clock.now())
    else:
        peer.session.receive(beat + " " * (len(beat) + 1), bench.clock.now())
    assert peer.transport.closed == (1009, f"over {2 * len(beat)} bytes before authentication")
    if is_judging:
        await judge.say(User("ana"))  # too late: nothing happens
    assert idle(bench)
    await bench.node.dispatcher.stepper.stop()


async def test_the_limit_is_the_usual_one_once_the_client_is_known() -> None:
    bench = Bench(limits=Limits(early_bytes=100))
    echo(bench)
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say("Auth")
    peer.join("echo")
    peer.call("echo", "say", "x" * 200)
    assert peer.news()[-1]["data"] == "x" * 200


async def test_who_does_not_say_who_it_is_is_closed_in_time() -> None:
    bench = Bench()
    peer = bench.connect(TestWire(auth=FRAME))
    bench.clock.move(9.9)
    assert peer.transport.closed is None
    bench.clock.move(0.1)
    assert peer.transport.closed == (4401, "not authenticated in time")
    assert idle(bench)


async def test_a_verdict_that_comes_too_late_changes_nothing() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say("Auth")
    bench.clock.move(10.0)
    assert peer.transport.closed == (4401, "not authenticated in time")
    await judge.say(User("ana"))
    assert idle(bench)
    assert not peer.session.is_admitted


async def test_a_client_known_in_time_is_not_closed_later() -> None:
    bench = Bench(limits=Limits(beat=0.0))
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say("Auth")
    bench.clock.move(100.0)
    assert peer.transport.closed is None


async def test_refused_credentials_are_told_and_final() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    peer = bench.connect(TestWire(auth=FRAME))
    peer.say("Auth", ref=1)
    peer.join("echo")
    await judge.say(Refused("bad_token", "no"))
    assert [one["t"] for one in peer.heard] == ["Refusal", "Bye"]
    assert peer.heard[0]["code"] == "bad_token"
    assert peer.transport.closed == (4401, "no")
    assert idle(bench)


async def test_what_came_with_credentials_that_are_refused_at_once_is_refused_too() -> None:
    """And no more than that: the client may try again on the same connection."""

    async def judge(hello: Hello) -> User | None:
        if hello.credentials != {"token": "right"}:
            raise Refused("bad_token", "no")
        return User("ana")

    bench = Bench(authenticate=judge)
    echo(bench)
    guest = Guest(bench, SocketIO(home="echo"))
    guest.hear()
    for auth in ('{"token":"wrong"}', ""):
        guest.say(f"40{auth}")
        await turns()
        assert guest.hear() == ['44{"message":"no","data":{"code":"bad_token"}}']
        assert guest.transport.closed is None
    guest.say('40{"token":"right"}')
    await turns()
    assert [str(message)[:2] for message in guest.hear()] == ["40"]
    assert guest.session.user.id == "ana"


async def test_a_client_may_guess_so_often_and_no_more() -> None:
    async def judge(hello: Hello) -> User | None:
        raise Refused("bad_token", "no")

    bench = Bench(authenticate=judge)
    echo(bench)
    guest = Guest(bench, SocketIO(home="echo"))
    for attempt in range(1, ATTEMPTS + 1):
        guest.say("40{}")
        await turns()
        is_last = attempt == ATTEMPTS
        assert guest.transport.closed == ((4401, "no") if is_last else None), attempt
    assert idle(bench)


async def test_a_client_cut_while_it_is_judged_is_gone_even_if_it_could_resume() -> None:
    judge = Judge()
    bench = Bench(authenticate=judge)
    peer = bench.connect(TestWire(FULL | Cap.RESUME, auth=FRAME))
    peer.say("Auth")
    peer.cut()
    await judge.say(User("ana"))
    assert idle(bench)


async def test_a_machine_whose_beat_begins_with_authentication_is_watched_from_then_on() -> None:
    bench = Bench()
    peer = bench.connect(TestWire(auth=FRAME), transport=TestTransport())
    pulse = machine(peer).pulse
    # As a wire whose pulse starts with its handshake: no deadline was there at opening.
    peer.session._cancel_beat()
    pulse.heard(bench.clock.now())
    peer.say("Auth")
    bench.clock.move(25.0)
    assert peer.transport.beats == 1
