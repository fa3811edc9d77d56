"""What a transport is: the seam has exactly the words that both sides use."""

import inspect
from typing import Protocol

import pytest

from anywire.core.candidate import Candidate
from anywire.core.session import Session
from anywire.servers.asgisocket import AsgiSocket
from anywire.servers.neighbours.relay import Relay, RelayTransport
from anywire.testing.pipe import MemoryTransport
from anywire.transports.base import Sink, Transport, Yielding
from anywire.transports.http import HttpTransport
from anywire.transports.websocket import WebSocketTransport


def words(protocol: type) -> set[str]:
    assert Protocol in protocol.__mro__
    own = {**vars(protocol), **protocol.__annotations__}
    return {name for name in own if not name.startswith("_")}


@pytest.mark.parametrize(
    "kind", [WebSocketTransport, MemoryTransport, HttpTransport, RelayTransport, AsgiSocket]
)
def test_each_transport_has_every_word_of_the_seam(kind: type) -> None:
    source = inspect.getsource(kind)
    assert not {name for name in words(Transport) if name not in source}


@pytest.mark.parametrize("kind", [Session, Candidate, Relay])
def test_each_sink_is_what_a_transport_tells(kind: type) -> None:
    assert words(Sink) == {"receive", "heard", "writable", "detached"}
    assert words(Sink) <= set(dir(kind))


def test_another_transport_can_take_over_from_requests_alone() -> None:
    assert words(Yielding) == {"release", "rest", "retain"}
    assert words(Yielding) <= set(dir(HttpTransport))
    for kind in (WebSocketTransport, RelayTransport, AsgiSocket):
        assert not words(Yielding) & set(dir(kind))
