"""The server's end of Phoenix; transcripts have more."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from anywire.body import Body
from anywire.frames import (
    Ack,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Leave,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.phoenix.codec import FIRST, SECOND
from anywire.wires.phoenix.machine import PhoenixMachine


def opened(**options: Any) -> PhoenixMachine:
    machine = PhoenixMachine(SECOND, Limits(), **options)
    assert machine.opened(0.0) == ()
    return machine


def heard(machine: PhoenixMachine, *messages: object) -> list[Frame]:
    """Frames of messages, written as JSON."""
    return [frame for one in messages for frame in machine.receive(json.dumps(one), 1.0)]


def said(payloads: Iterable[Payload]) -> list[Any]:
    return [json.loads(message) for payload in payloads for message in payload.messages()]


def joined(machine: PhoenixMachine, topic: str = "room", ref: str = "1") -> Join:
    """The join of a topic, answered."""
    *_, join = heard(machine, [ref, ref, topic, "phx_join", {}])
    assert isinstance(join, Join)
    machine.send(Joined(join.ref, topic))
    return join


def test_a_topic_is_an_address_behind_the_prefix() -> None:
    machine = opened(prefix="phx-")
    join = joined(machine)
    assert (join.address, join.alias, join.ref) == ("phx-room", "room", "1")
    (event,) = heard(machine, ["1", "2", "room", "say", 1])
    assert isinstance(event, Event) and event.alias == "room"


def test_a_push_is_answered_under_its_own_ref_and_that_of_its_join() -> None:
    machine = opened()
    joined(machine, ref="1")
    (event,) = heard(machine, [None, 5, "room", "say", 1])
    assert isinstance(event, Event) and event.ref is not None
    assert (event.want, event.ref) == (Want.REPLY, "5")
    joined(machine, ref="9")
    machine.due()
    # Its answer comes when the topic was joined anew: the client drops it as outdated.
    answer = said(machine.send(Reply(event.ref, "room", Body.of({}))))
    assert answer == [["1", 5, "room", "phx_reply", {"status": "ok", "response": {}}]]


def test_a_join_that_was_refused_leaves_no_topic() -> None:
    machine = opened()
    (join,) = heard(machine, ["1", "1", "room", "phx_join", {}])
    assert isinstance(join, Join)
    machine.send(Refusal(join.ref, "room", "staff_only"))
    assert heard(machine, ["1", "2", "room", "say", {}]) == []
    assert said(machine.due())[0][4]["response"] == {"reason": "unmatched topic"}


def test_the_refusal_of_an_earlier_join_is_none_of_the_later_one() -> None:
    machine = opened()
    (first,) = heard(machine, ["1", "1", "room", "phx_join", {}])
    # Some clients have one ref for all their joins.
    leave, second = heard(machine, ["1", "1", "room", "phx_join", {}])
    assert isinstance(first, Join) and isinstance(second, Join)
    assert leave == Leave("room", None, "replaced", "joined again")
    machine.send(Refusal(first.ref, "room", "left", "the membership ended before its join did"))
    machine.send(Joined(second.ref, "room"))
    assert [type(frame) for frame in heard(machine, ["1", "2", "room", "say", {}])] == [Event]


def test_a_leave_without_a_ref_is_answered_all_the_same() -> None:
    machine = opened()
    joined(machine)
    (leave,) = heard(machine, ["1", None, "room", "phx_leave", {}])
    assert isinstance(leave, Leave) and leave.ref is not None
    answer, end = said(machine.send(Leave("room", leave.ref)))
    assert answer == ["1", None, "room", "phx_reply", {"status": "ok", "response": {}}]
    assert end == ["1", "1", "room", "phx_close", {}]


def test_a_leave_that_is_answered_twice_ends_once() -> None:
    machine = opened()
    joined(machine)
    assert len(said(machine.send(Leave("room", "2")))) == 2
    assert said(machine.send(Leave("room", "3"))) == [
        [None, "3", "room", "phx_reply", {"status": "ok", "response": {}}]
    ]
    assert said(machine.send(Leave("room"))) == []


def test_what_a_machine_says_by_itself_is_taken_once_and_in_order() -> None:
    machine = opened()
    heard(machine, *([None, str(ref), "phoenix", "heartbeat", {}] for ref in range(3)))
    assert [one[1] for one in said(machine.due())] == ["0", "1", "2"]
    assert machine.due() == ()


def test_only_the_heartbeat_is_special_on_its_topic() -> None:
    machine = opened()
    join = joined(machine, "phoenix")
    assert join.address == "phoenix"
    (event,) = heard(machine, ["1", "2", "phoenix", "say", {}])
    assert isinstance(event, Event)
    assert heard(machine, ["1", "3", "phoenix", "heartbeat", {}]) == []
    joined(machine, "room")
    (event,) = heard(machine, ["1", "4", "room", "heartbeat", {}])
    assert isinstance(event, Event) and event.event == "heartbeat"


def test_the_client_may_say_the_words_of_the_server() -> None:
    machine = opened()
    joined(machine)
    for word in ("phx_reply", "phx_close", "presence_state", "error", "chan_reply_1"):
        (event,) = heard(machine, ["1", "2", "room", word, {}])
        assert isinstance(event, Event) and event.event == word


def test_a_session_on_polls_is_greeted_and_no_other() -> None:
    welcome = Welcome("s", "t", 25.0)
    assert opened().send(welcome) == ()
    (payload,) = opened(greeting=b'{"status":410}').send(welcome)
    assert (payload.data, payload.counted) == (b'{"status":410}', False)


def test_what_there_are_no_words_for_is_not_said() -> None:
    machine = opened()
    for frame in (Ack(1), Bye(1001), Refusal(None, None, "busy"), Refusal(None, "room", "busy")):
        assert machine.send(frame) == ()


def test_what_is_said_where_nobody_joined_has_no_ref_of_a_join() -> None:
    machine = opened()
    (lost,) = said(machine.send(Gap("room", 3)))
    assert lost == [None, None, "room", "gap", {"lost": 3}]


def test_who_says_nothing_for_long_is_gone() -> None:
    machine = opened(timeout=10.0)
    assert machine.deadline() == 10.0
    machine.receive('[null,"1","phoenix","heartbeat",{}]', 7.0)
    assert machine.deadline() == 17.0
    machine.heard(8.0)
    assert machine.deadline() == 18.0
    assert machine.tick(17.9) == ()
    assert machine.tick(18.0) == (Bye(4410, "nothing heard in time"),)
    assert machine.deadline() is None
    assert machine.tick(99.0) == ()


def test_a_carrier_that_tells_by_itself_needs_no_time_out() -> None:
    machine = opened(timeout=0.0)
    machine.receive('[null,"1","phoenix","heartbeat",{}]', 7.0)
    machine.heard(8.0)
    assert machine.deadline() is None


@pytest.mark.parametrize("codec", [FIRST, SECOND])
def test_it_counts_nothing_and_has_many_memberships(codec: Any) -> None:
    machine = PhoenixMachine(codec, Limits())
    assert (machine.received, machine.is_single, machine.codec) == (0, False, codec)
    assert machine.caps == codec.caps
