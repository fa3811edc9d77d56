"""Tests of anywire.wires.surrogates: half of a pair in JSON."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Form
from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.wires.actioncable import commands
from anywire.wires.anywire.codec import JSON
from anywire.wires.anywire.message import EventSaid
from anywire.wires.phoenix import messages
from anywire.wires.signalr import reading
from anywire.wires.socketio import packets
from anywire.wires.surrogates import whole


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (r'"a \ud83d"', r'"a \ufffd"'),
        (r'"\uDE00 b"', r'"\ufffd b"'),
        (r'"\ud83d\ud83d\ude00\ude00"', r'"\ufffd\ud83d\ude00\ufffd"'),
        (r'"\\ud83d \ud83d"', r'"\\ud83d \ufffd"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
        (r'"\ud83d\ude00"', None),
        (r'"\\ud83d"', None),
        ('"\\ud83', None),
        ('"plain 😀"', None),
        ("", None),
    ],
)
def test_a_half_is_mended_and_nothing_else(text: str, mended: str | None) -> None:
    assert whole(text) == mended


@given(st.text(st.characters(), max_size=20), st.booleans())
def test_any_text_of_javascript_is_unicode_then(text: str, is_ascii: bool) -> None:
    halves = json.dumps(text)
    read = json.loads(whole(halves) or halves)
    assert read == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(halves) == text


LIMITS = Limits()


def of_signalr(text: str) -> Any:
    said = reading.read_json(b'{"type":1,"target":"m","arguments":[%b]}' % text.encode(), LIMITS)
    assert said is not None
    return reading.arguments(said, Form.JSON).one_value


def of_phoenix(text: str) -> Any:
    said: Any = messages.read_second(f'["1","1","t","e",{text}]', LIMITS)
    return said.args.value()


def of_phoenix_before(text: str) -> Any:
    message = f'{{"topic":"t","event":"e","ref":"1","payload":{text}}}'
    said: Any = messages.read_first(message, LIMITS)
    return said.args.value()


def of_socketio(text: str) -> Any:
    packet: Any = packets.parse(f'21["said",{text}]', LIMITS)
    return packet.args.values()[0]


def of_actioncable(text: str) -> Any:
    event: Any = commands.event_of("a", f'{{"action":"said","text":{text}}}', LIMITS)
    return event.args.value()["text"]


def of_a_command(text: str) -> Any:
    return commands.parse(f'{{"command":"subscribe","identifier":{text}}}', LIMITS).identifier


def of_our_own(text: str) -> Any:
    said = JSON.from_client(f'{{"type":"event","address":"a","event":"e","data":{text}}}', LIMITS)
    return cast(EventSaid, said).data


def of_plain_socketio(text: str) -> Any:
    event: Any = packets.plain_event(f'42["said",{text}]', LIMITS)
    return event.args.values()[0]


READERS: list[Callable[[str], Any]] = [
    of_signalr,
    of_phoenix,
    of_phoenix_before,
    of_actioncable,
    of_a_command,
    of_our_own,
    of_plain_socketio,
    of_socketio,
]


@pytest.mark.parametrize("read", READERS)
def test_on_no_wire_does_half_an_emoji_end_the_connection(read: Callable[[str], Any]) -> None:
    told = read(r'"a \ud83d"')
    assert "a \ufffd" in (told if isinstance(told, str) else json.loads(bytes(told)))
    with pytest.raises(ProtocolError):
        read(r'"a \ud83d')
