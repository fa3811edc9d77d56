"""The client's end; the contract has both ends talk."""

import pytest

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import Beat, Bye, Event, Frame, Join
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.base import Request
from anywire.wires.sockjs import SockJsClient


def test_it_asks_for_nothing_but_the_websocket() -> None:
    client = SockJsClient("echo")
    assert client.opening() == Request()
    assert not client.opened(None, 0.0)
    client.heard(1.0)
    assert client.deadline() is None
    assert not client.due() and not client.tick(100.0)


def test_it_hears_every_message_of_an_array() -> None:
    heard = SockJsClient("echo").receive('a["hi","{\\"event\\":\\"said\\",\\"data\\":1}"]', 0.0)
    told = []
    for frame in heard:
        assert isinstance(frame, Event) and isinstance(frame.args, Args)
        told.append((frame.alias, frame.event, frame.args.one_value))
    assert told == [("echo", "message", "hi"), ("echo", "said", 1)]


@pytest.mark.parametrize(
    ("message", "frames"),
    [
        ("o", ()),
        ("h", (Beat(),)),
        ('c[3000,"Go away!"]', (Bye(3000, "Go away!"),)),
        ("a[]", []),
    ],
)
def test_it_hears_frames(message: str, frames: list[Frame]) -> None:
    assert SockJsClient().receive(message, 0.0) == frames


@pytest.mark.parametrize(
    "message", ["", "x", "oo", "hh", "a", 'a"x"', "a[", "c", "c[]", 'c["a",1]', 'm"x"', b"o"]
)
def test_what_is_no_frame_is_refused(message: Message) -> None:
    with pytest.raises(ProtocolError):
        SockJsClient().receive(message, 0.0)


def test_a_message_has_a_limit() -> None:
    with pytest.raises(ProtocolError) as caught:
        SockJsClient(limits=Limits(message=2)).receive('a["xyz"]', 0.0)
    assert caught.value.code == 1009


def test_it_says_messages_and_events() -> None:
    client = SockJsClient("echo")
    frames: list[Frame] = [
        Event("echo", "message", Body.of("hi")),
        Event("echo", "say", Body.of(1), volatile=True),
        Join(None, "echo", "echo"),
    ]
    said = [payload for frame in frames for payload in client.send(frame)]
    assert [payload.data for payload in said] == [
        b'["hi"]',
        rb'["{\"event\":\"say\",\"data\":1}"]',
    ]
    assert [payload.volatile for payload in said] == [False, True]
