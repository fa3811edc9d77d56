"""Tests of anywire.wires.actioncable.machine."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Presence,
    Refusal,
    Reply,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.actioncable.machine import ActionCableMachine, Pings
from anywire.wires.pulse import Pulse

CHAT = '{"channel":"ChatChannel", "room":"lobby"}'
CONFIRMED = {"identifier": CHAT, "type": "confirm_subscription"}
REJECTED = {"identifier": CHAT, "type": "reject_subscription"}


def make(limits: Limits | None = None, *, prefix: str = "") -> ActionCableMachine:
    limits = limits or Limits()
    pulse = Pulse(limits.beat, limits.beat_timeout)
    machine = ActionCableMachine(limits, pulse, Pings(), every=3.0, wall=1000.5, prefix=prefix)
    assert not machine.opened(0.0)
    return machine


def say(machine: ActionCableMachine, command: str, alias: str = CHAT, **more: Any) -> list[Frame]:
    text = json.dumps({"command": command, "identifier": alias, **more})
    return list(machine.receive(text, 1.0))


def subscribed(limits: Limits | None = None) -> ActionCableMachine:
    machine = make(limits)
    say(machine, "subscribe")
    told(machine.send(Joined(None, CHAT)))
    return machine


def told(payloads: Sequence[Payload]) -> list[Any]:
    return [json.loads(message) for payload in payloads for message in payload.messages()]


def test_the_conversation_begins_with_a_welcome() -> None:
    assert told(make().send(Welcome("s1", None, 25.0))) == [{"type": "welcome"}]


def test_a_subscribe_is_a_join_by_the_channel_s_name_and_parts() -> None:
    [join] = say(make(), "subscribe")
    assert join == Join(None, "chat", CHAT, parts={"room": "lobby"})


def test_a_prefix_stands_before_the_name_of_the_channel() -> None:
    [join] = say(make(prefix="cable-"), "subscribe", '{"channel":"chat:lobby"}')
    assert isinstance(join, Join)
    assert (join.address, join.parts) == ("cable-chat:lobby", {})


def test_a_join_that_was_allowed_is_confirmed_and_its_data_follows() -> None:
    machine = make()
    say(machine, "subscribe")
    assert told(machine.send(Joined(None, CHAT))) == [CONFIRMED]
    data = Body.of({"hello": "ana"})
    hello = {"identifier": CHAT, "message": {"hello": "ana"}}
    assert told(machine.send(Joined(None, CHAT, data))) == [CONFIRMED, hello]


def test_a_second_subscribe_is_ignored_pending_or_live() -> None:
    machine = make()
    assert say(machine, "subscribe")
    assert not say(machine, "subscribe")
    machine.send(Joined(None, CHAT))
    assert not say(machine, "subscribe")
    assert not machine.due()


def test_a_subscription_that_was_rejected_may_be_asked_for_again() -> None:
    machine = make()
    say(machine, "subscribe")
    assert told(machine.send(Refusal(None, CHAT, "staff_only"))) == [REJECTED]
    assert not say(machine, "message", data="{}")
    assert say(machine, "subscribe")


def test_a_subscription_that_comes_too_soon_is_not_answered_and_may_be_asked_for_again() -> None:
    machine = make()
    say(machine, "subscribe")
    assert not machine.send(Refusal(None, CHAT, "rate", "at most 20 joins per second"))
    assert say(machine, "subscribe")


@pytest.mark.parametrize("alias", ["", "null", "{}", "chat", '{"channel":""}'])
def test_an_identifier_of_no_channel_is_rejected(alias: str) -> None:
    machine = make()
    assert not say(machine, "subscribe", alias)
    assert told(machine.due()) == [{"identifier": alias, "type": "reject_subscription"}]
    assert not machine.due()


def test_subscriptions_past_the_limit_are_rejected() -> None:
    machine = make(Limits(members=2))
    aliases = [json.dumps({"channel": "chat", "n": n}) for n in range(4)]
    assert [len(say(machine, "subscribe", alias)) for alias in aliases] == [1, 1, 0, 0]
    assert [one["identifier"] for one in told(machine.due())] == aliases[2:]
    say(machine, "unsubscribe", aliases[0])
    assert say(machine, "subscribe", aliases[3])


def test_an_unsubscribe_is_a_leave_once() -> None:
    machine = subscribed()
    assert say(machine, "unsubscribe") == [Leave(CHAT)]
    assert not say(machine, "unsubscribe")
    assert say(machine, "subscribe")


def test_an_action_is_an_event() -> None:
    [event] = say(subscribed(), "message", data='{"text":"hi","action":"speak"}')
    assert isinstance(event, Event) and isinstance(event.args, Args)
    assert (event.alias, event.event, list(event.args.values())) == (
        CHAT,
        "speak",
        [{"text": "hi"}],
    )


def test_what_rails_does_not_run_or_know_is_ignored() -> None:
    machine = subscribed()
    assert not say(machine, "message", data='{"action":"subscribed"}')
    assert not say(machine, "message", CHAT + " ", data='{"action":"speak"}')
    for command in ("", "pong", "history", "presence", "whisper", "dance"):
        assert not say(machine, command)
    assert not say(make(), "message", data="junk")
    assert not machine.due()


def test_an_event_goes_out_under_its_identifier() -> None:
    machine = subscribed()
    [payload] = machine.send(Event(CHAT, "message", Body.of({"a": 1}), volatile=True))
    assert payload.volatile
    assert told([payload]) == [{"identifier": CHAT, "message": {"a": 1}}]


@pytest.mark.parametrize("frame", [Leave(CHAT, code="kicked", text="bye"), Leave(CHAT)])
def test_a_subscription_that_the_server_ends_is_rejected(frame: Leave) -> None:
    machine = subscribed()
    assert told(machine.send(frame)) == [REJECTED]
    assert not say(machine, "unsubscribe")
    assert say(machine, "subscribe")


def test_the_end_of_what_it_does_not_know_is_told_all_the_same() -> None:
    assert told(make().send(Leave(CHAT))) == [REJECTED]


def test_a_refused_event_is_an_event_of_its_own() -> None:
    refusal = Refusal(None, CHAT, "busy", "later", Body.of({"n": 1}), event="speak")
    [said] = told(subscribed().send(refusal))
    data = {"event": "speak", "code": "busy", "text": "later", "data": {"n": 1}}
    assert said == {"identifier": CHAT, "message": {"event": "error", "data": data}}


@pytest.mark.parametrize("code", ["unknown_event", "unknown_address", "internal"])
def test_of_a_bug_and_of_an_action_that_is_not_there_a_client_hears_nothing(code: str) -> None:
    assert not subscribed().send(Refusal(None, CHAT, code, "no", event="speak"))


def test_a_gap_and_presence_are_events() -> None:
    machine = subscribed()
    [gap] = told(machine.send(Gap(CHAT, 3)))
    assert gap["message"] == {"event": "gap", "data": {"lost": 3}}
    [presence] = told(machine.send(Presence(CHAT, {"ana": [{}]}, {})))
    assert presence["message"]["event"] == "presence"


def test_frames_that_there_are_no_words_for_say_nothing() -> None:
    machine = subscribed()
    for frame in (Reply(1, CHAT), Item(1, Body.of(1)), Beat(), Refusal(None, None, "no")):
        assert not machine.send(frame)


def test_the_end_is_a_disconnect() -> None:
    said = told(make().send(Bye(1001, "the server stops")))
    assert said == [{"type": "disconnect", "reason": "server_restart", "reconnect": True}]


def test_pings_have_the_time_of_the_wall() -> None:
    machine = make()
    assert machine.deadline() == 3.0
    assert not machine.tick(2.9)
    assert not machine.due()
    for now, second in ((3.0, 1003), (6.0, 1006), (9.6, 1010)):
        assert not machine.tick(now)
        assert told(machine.due()) == [{"type": "ping", "message": second}]
    assert machine.deadline() == 12.6


def test_all_who_are_pinged_in_a_second_get_the_same_ping() -> None:
    pings = Pings()
    assert pings.at(5) is pings.at(5)
    assert pings.at(6).data == b'{"type":"ping","message":6}'


def test_a_silent_client_is_asked_by_its_carrier_and_then_gone() -> None:
    machine = make(Limits(beat=4.0, beat_timeout=1.0))
    machine.tick(3.0)
    assert machine.tick(4.0) == (Beat(),)
    machine.heard(4.5)
    assert machine.deadline() == 6.0
    machine.tick(6.0)
    assert machine.tick(8.5) == (Beat(),)
    [bye] = machine.tick(9.5)
    assert isinstance(bye, Bye) and bye.code == 4410
    assert machine.deadline() is None


def test_without_a_beat_it_is_only_pinged() -> None:
    machine = make(Limits(beat=0.0))
    assert machine.deadline() == 3.0
    assert not machine.tick(300.0)
    assert machine.deadline() == 303.0


def test_junk_breaks_the_protocol() -> None:
    for junk in ("x", b"{}", "[]"):
        with pytest.raises(ProtocolError):
            make().receive(junk, 1.0)
    with pytest.raises(ProtocolError):
        say(subscribed(), "message", data="junk")
