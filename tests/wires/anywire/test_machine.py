"""The server's end of a conversation: counting and beating; more is in the transcripts."""

import pytest

from anywire.body import Body
from anywire.errors import ProtocolError
from anywire.frames import Ack, Beat, Event, Join, Presence, Reply, Welcome
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.anywire.codec import JSON
from anywire.wires.anywire.machine import OwnMachine
from anywire.wires.base import Cap
from anywire.wires.pulse import Pulse

EVENT = '{"type":"event","address":"a","event":"b"}'
PING = '{"type":"ping"}'


def machine(resume: float = 120.0) -> OwnMachine:
    pulse = Pulse(25.0, 10.0)
    made = OwnMachine(JSON, Limits(resume=resume), pulse, wall=1_700_000_000.0)
    made.opened(0.0)
    return made


def due(end: OwnMachine) -> list[Message]:
    return [message for payload in end.due() for message in payload.messages()]


def test_every_64th_counted_message_is_acknowledged() -> None:
    end = machine()
    for _ in range(63):
        end.receive(EVENT, 1.0)
    assert not due(end)
    end.receive(EVENT, 1.0)
    assert due(end) == ['{"type":"ack","received":64}']
    for _ in range(64):
        end.receive(EVENT, 1.0)
    assert due(end) == ['{"type":"ack","received":128}']


def test_the_count_goes_with_the_heartbeat_when_it_is_new() -> None:
    end = machine()
    end.receive(EVENT, 1.0)
    assert end.tick(26.0) == (Beat(),)
    assert due(end) == ['{"type":"ack","received":1}']
    end.receive('{"type":"beat"}', 27.0)
    assert not due(end)
    end.receive(EVENT, 28.0)
    end.receive('{"type":"beat"}', 28.0)
    assert due(end) == ['{"type":"ack","received":2}']
    assert not end.tick(28.0)
    assert not due(end)


def test_who_was_told_by_the_core_is_not_told_again() -> None:
    end = machine()
    end.receive(EVENT, 1.0)
    end.send(Ack(1))
    end.receive(PING, 1.0)
    assert due(end) == ['{"type":"pong","timestamp":1700000001}']


def test_a_resumed_machine_counts_on() -> None:
    end = machine()
    end.send(Welcome("s", "t", 25.0, resumed=True, received=70))
    assert end.received == 70
    end.receive(PING, 1.0)
    assert len(due(end)) == 1, "the welcome has told the count"
    end.receive(EVENT, 1.0)
    assert end.received == 71


def test_a_new_session_counts_from_nothing() -> None:
    end = machine()
    end.send(Welcome("s", "t", 25.0))
    assert end.received == 0


def test_without_resume_nothing_is_acknowledged() -> None:
    end = machine(resume=0)
    assert Cap.RESUME not in end.caps
    for _ in range(130):
        end.receive(EVENT, 1.0)
    end.receive(PING, 1.0)
    assert due(end) == ['{"type":"pong","timestamp":1700000001}']


def test_messages_that_are_not_counted_are_not_counted() -> None:
    end = machine()
    said = ['{"type":"ack","received":0}', '{"type":"beat"}', PING, '{"type":"bye","code":1000}']
    said += ['{"type":"auth","ref":1,"credentials":null}', '{"type":"pong","timestamp":1.5}']
    for text in said:
        end.receive(text, 1.0)
    assert end.received == 0


def test_the_welcome_tells_the_beat_of_this_mount() -> None:
    (payload,) = machine().send(Welcome("s", None, 3.0))
    assert b'"beat":25.0' in payload.data
    assert not payload.counted


def test_everything_heard_puts_the_probe_off() -> None:
    end = machine()
    end.receive(EVENT, 5.0)
    assert end.deadline() == 30.0
    end.heard(6.0)
    assert end.deadline() == 31.0


def test_broken_messages_are_not_counted() -> None:
    end = machine()
    with pytest.raises(ProtocolError):
        end.receive('{"type":"cancel","ref":"%s"}' % ("x" * 65), 1.0)
    assert end.received == 0


def test_a_server_says_what_a_server_says() -> None:
    end = machine()
    assert not end.send(Join(1, "a", "a"))
    assert not end.send(Beat(is_answer=True))
    assert len(end.send(Presence("a", {}, {}))) == 1
    assert end.send(Reply(1, "a", Body.of(1)))[0].counted
    assert end.send(Event("a", "b", Body.of(1)))[0].counted
    assert not end.send(Beat())[0].counted
    assert not end.due()
