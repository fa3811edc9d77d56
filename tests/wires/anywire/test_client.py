"""The client's end: what it remembers from one transport to the next, and when it pings."""

import pytest

from anywire.body import Body
from anywire.errors import ProtocolError
from anywire.frames import Ack, Auth, Beat, Bye, Event, Gap, Join, Welcome
from anywire.payload import Message
from anywire.wires.anywire import OwnClient
from anywire.wires.base import Cap

WELCOME = '{"type":"welcome","session":"s1","token":"t1","beat":20.0,"resumed":false,"received":0}'
AGAIN = '{"type":"welcome","session":"s1","token":"t2","beat":20.0,"resumed":true,"received":5}'
ANEW = '{"type":"welcome","session":"s2","token":"t3","beat":20.0}'
EVENT = '{"type":"event","address":"a","event":"b","data":1}'
PING = '{"type":"ping"}'


def client(beat: float = 30.0, beat_timeout: float = 5.0) -> OwnClient:
    made = OwnClient(wall=1_700_000_000.0, beat=beat, beat_timeout=beat_timeout)
    made.opened("anywire.json.1", 0.0)
    return made


def due(end: OwnClient) -> list[Message]:
    return [message for payload in end.due() for message in payload.messages()]


def test_the_first_opening_asks_for_nothing() -> None:
    request = OwnClient("anywire.msgpack.1").opening()
    assert (request.subprotocols, request.query) == (["anywire.msgpack.1"], {})


def test_a_cut_client_opens_with_what_it_remembers() -> None:
    end = client()
    end.receive(WELCOME, 0.0)
    for _ in range(3):
        end.receive(EVENT, 0.0)
    assert end.opening().query == {"session": "s1", "resume": "t1", "received": "3"}
    end.opened("anywire.json.1", 10.0)
    (welcome,) = end.receive(AGAIN, 10.0)
    assert isinstance(welcome, Welcome) and (welcome.resumed, welcome.received) == (True, 5)
    end.receive(EVENT, 10.0)
    assert end.opening().query == {"session": "s1", "resume": "t2", "received": "4"}


def test_a_new_session_is_counted_from_nothing() -> None:
    end = client()
    end.receive(WELCOME, 0.0)
    end.receive(EVENT, 0.0)
    end.opened("anywire.json.1", 10.0)
    end.receive(ANEW, 10.0)
    assert end.opening().query == {"session": "s2", "resume": "t3", "received": "0"}
    end.receive(PING, 10.0)
    assert due(end) == ['{"type":"pong","timestamp":1700000010}']


def test_a_session_without_a_secret_is_not_resumed() -> None:
    end = client()
    end.receive('{"type":"welcome","session":"s1","beat":20.0}', 0.0)
    assert Cap.RESUME not in end.caps
    for _ in range(70):
        end.receive(EVENT, 0.0)
    assert not due(end)
    assert not end.opening().query
    end.receive(WELCOME, 0.0)
    assert Cap.RESUME in end.caps


def test_a_forgotten_session_is_not_resumed() -> None:
    end = client()
    end.receive(WELCOME, 0.0)
    end.receive(EVENT, 0.0)
    end.forget()
    assert (end.opening().query, end.received) == ({}, 0)


def test_what_was_due_on_a_lost_transport_is_not_said_on_the_next() -> None:
    end = client()
    end.receive(PING, 0.0)
    end.opened("anywire.json.1", 1.0)
    assert not due(end)


@pytest.mark.parametrize("subprotocol", [None, "anywire.msgpack.1"])
def test_another_subprotocol_is_a_protocol_error(subprotocol: str | None) -> None:
    with pytest.raises(ProtocolError):
        OwnClient().opened(subprotocol, 0.0)


def test_every_64th_message_and_every_heartbeat_is_acknowledged() -> None:
    end = client()
    end.receive(WELCOME, 0.0)
    for _ in range(64):
        end.receive(EVENT, 0.0)
    assert due(end) == ['{"type":"ack","received":64}']
    end.receive(EVENT, 0.0)
    assert not end.tick(20.0)
    assert due(end) == [PING, '{"type":"ack","received":65}']
    end.receive(EVENT, 21.0)
    end.receive('{"type":"beat"}', 21.0)
    assert due(end) == ['{"type":"beat"}', '{"type":"ack","received":66}']
    end.receive(EVENT, 21.0)
    end.send(Ack(67))
    end.receive('{"type":"ping","echo":"e"}', 21.0)
    assert due(end) == ['{"type":"pong","timestamp":1700000021,"echo":"e"}']


@pytest.mark.parametrize(
    ("own", "server", "used"),
    [(30.0, 20.0, 20.0), (5.0, 20.0, 5.0), (0.0, 20.0, 20.0), (30.0, 0.0, 30.0)],
)
def test_the_shorter_beat_wins(own: float, server: float, used: float) -> None:
    end = client(beat=own)
    end.receive(f'{{"type":"welcome","session":"s","beat":{server}}}', 0.0)
    assert end.deadline() == used


def test_a_server_that_answers_nothing_is_gone() -> None:
    end = client(beat=30.0, beat_timeout=5.0)
    assert not end.tick(30.0)
    assert due(end) == [PING]
    assert end.receive('{"type":"pong","timestamp":1,"echo":"e"}', 31.0) == (Beat("e", True),)
    assert not end.tick(61.0)
    (bye,) = end.tick(66.0)
    assert isinstance(bye, Bye) and (bye.code, bye.retry) == (4410, 0.0)
    end.heard(70.0)
    assert end.deadline() == 100.0


def test_a_client_says_what_a_client_says() -> None:
    end = client()
    assert not end.send(Gap("a", 1))
    assert not end.send(Beat(is_answer=True))
    assert end.send(Join(1, "a", "a"))[0].counted
    assert end.send(Event("a", "b", Body.of(1)))[0].counted
    assert not end.send(Auth(1, Body.of({"token": "t"})))[0].counted
    assert not end.send(Beat("e"))[0].counted
    assert b'"ref":0' in end.send(Auth(None, Body.of()))[0].data
    assert not end.due()
