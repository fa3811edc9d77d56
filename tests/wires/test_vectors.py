"""The vectors of the anywire protocol: JSON files that clients in any language run."""

import json
from pathlib import Path
from typing import Any

import pytest

from anywire.errors import ProtocolError
from anywire.frames import Beat, Event, Presence, Want
from anywire.payload import Message, Payload
from anywire.wires.anywire import Own, OwnClient, PlainClient
from anywire.wires.anywire.codec import SUBPROTOCOLS, write
from anywire.wires.base import Answer, Hello, Machine, Opening, Role
from tests.wires.described import described, frame_of, texted

VECTORS = Path(__file__).parents[1] / "vectors" / "anywire"


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return loaded


MESSAGES = load("messages.json")["messages"]
INVALID = load("invalid.json")
OPENING = load("opening.json")["openings"]
PLAIN = load("plain.json")


def machine(*subprotocols: str, home: str | None = None) -> Machine:
    opening = Own(home=home).open(Hello(subprotocols=subprotocols, clock=1_700_000_000.0))
    assert isinstance(opening, Opening) and opening.machine is not None
    return opening.machine


def form(vector: dict[str, Any], subprotocol: str) -> Message:
    text: str = vector["json"]
    return text if subprotocol == "anywire.json.1" else bytes.fromhex(vector["msgpack"])


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector["name"])
def test_a_message_is_written_byte_for_byte(vector: dict[str, Any], subprotocol: str) -> None:
    frame = frame_of(vector["frame"])
    codec = SUBPROTOCOLS[subprotocol]
    if isinstance(frame, Presence):
        payload = codec.presence(frame.alias, frame)
    else:
        payload = write(frame, codec)
    assert list(payload.messages()) == [form(vector, subprotocol)]
    assert payload.counted is vector["counted"]


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector["name"])
def test_a_message_is_read_as_the_frame_it_means(vector: dict[str, Any], subprotocol: str) -> None:
    message = form(vector, subprotocol)
    if vector["from"] == "client":
        frames = machine(subprotocol).receive(message, 0.0)
    else:
        frames = OwnClient(subprotocol).receive(message, 0.0)
    expected = vector["frame"]
    if subprotocol == "anywire.json.1":
        expected = texted(expected)
    assert [described(frame) for frame in frames] == [expected]


@pytest.mark.parametrize("vector", INVALID["invalid"], ids=lambda vector: vector["name"])
def test_what_is_invalid_is_closed_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        machine("anywire.json.1").receive(vector["json"], 0.0)
    assert caught.value.code == vector["code"]
    assert caught.value.reason


@pytest.mark.parametrize("vector", INVALID["kinds"], ids=lambda vector: vector["name"])
def test_the_wrong_kind_of_message_is_closed_with_its_code(vector: dict[str, Any]) -> None:
    message = vector["text"] if "text" in vector else bytes.fromhex(vector["hex"])
    with pytest.raises(ProtocolError) as caught:
        machine(vector["subprotocol"]).receive(message, 0.0)
    assert caught.value.code == vector["code"]


@pytest.mark.parametrize("vector", INVALID["same"], ids=lambda vector: vector["name"])
def test_spellings_that_mean_the_same(vector: dict[str, Any]) -> None:
    (frame,) = machine("anywire.json.1").receive(vector["json"], 0.0)
    assert described(frame) == {"frame": "Event", "alias": "a", "event": "b"}


@pytest.mark.parametrize("vector", OPENING, ids=lambda vector: vector["name"])
def test_an_opening_request_is_understood(vector: dict[str, Any]) -> None:
    hello = Hello(subprotocols=vector["offers"], query=vector.get("query", {}), seed=b"x" * 32)
    opening = Own().open(hello)
    if "status" in vector:
        assert isinstance(opening, Answer) and opening.status == vector["status"]
        assert b"anywire.json.1" in opening.body and b"anywire.msgpack.1" in opening.body
        return
    assert isinstance(opening, Opening)
    assert opening.subprotocol == vector["subprotocol"]
    assert opening.role is Role(vector["role"])
    if opening.role is Role.RESUME:
        told = (opening.session, opening.token, opening.received)
        assert told == (vector["session"], vector["token"], vector["received"])
    else:
        assert (opening.session, opening.received) == (hello.id(0), None)


@pytest.mark.parametrize("vector", PLAIN["in"], ids=lambda vector: vector["name"])
def test_a_plain_message_is_an_event_at_home(vector: dict[str, Any]) -> None:
    (event,) = machine(home="chat").receive(vector["text"], 0.0)
    assert isinstance(event, Event)
    told = described(event)
    assert (event.alias, event.event, event.ref) == ("chat", vector["event"], vector["ref"])
    assert event.want is (Want.NOTHING if vector["ref"] is None else Want.REPLY)
    assert told.get("args", []) == vector["args"]


@pytest.mark.parametrize("vector", PLAIN["pings"], ids=lambda vector: vector["text"])
def test_a_plain_ping_is_answered(vector: dict[str, Any]) -> None:
    plain = machine(home="chat")
    assert not plain.receive(vector["text"], 0.5)
    assert texts(plain.due()) == [vector["answer"]]
    assert plain.codec.name == "anywire.plain"
    assert PlainClient("chat").receive(vector["answer"], 0.0) == (Beat(is_answer=True),)


@pytest.mark.parametrize("text", PLAIN["switches"])
def test_a_complete_message_of_ours_ends_the_plain_connection(text: str) -> None:
    plain = machine(home="chat")
    full = machine("anywire.json.1")
    meant = [described(frame) for frame in full.receive(text, 0.0)]
    assert [described(frame) for frame in plain.receive(text, 0.0)] == meant
    assert plain.codec.name == "anywire.json"
    (welcome,) = texts(plain.due())
    assert json.loads(welcome)["type"] == "welcome" and "token" not in json.loads(welcome)


@pytest.mark.parametrize("text", PLAIN["broken"])
def test_broken_plain_messages_are_closed_with_4400(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        machine(home="chat").receive(text, 0.0)
    assert caught.value.code == 4400


@pytest.mark.parametrize("vector", PLAIN["out"], ids=lambda vector: vector["text"])
def test_a_plain_connection_hears(vector: dict[str, Any]) -> None:
    assert texts(machine(home="chat").send(frame_of(vector["frame"]))) == [vector["text"]]


def texts(payloads: Any) -> list[Message]:
    return [message for payload in payloads for message in Payload.messages(payload)]
