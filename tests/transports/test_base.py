"""What a transport is: the seam has exactly the words that both sides use."""

import inspect
from typing import Protocol

import pytest

from anywire.core.session import Session
from anywire.testing.pipe import MemoryTransport
from anywire.transports.base import Sink, Transport
from anywire.transports.websocket import WebSocketTransport


def words(protocol: type) -> set[str]:
    assert Protocol in protocol.__mro__
    own = {**vars(protocol), **protocol.__annotations__}
    return {name for name in own if not name.startswith("_")}


@pytest.mark.parametrize("kind", [WebSocketTransport, MemoryTransport])
def test_each_transport_has_every_word_of_the_seam(kind: type) -> None:
    source = inspect.getsource(kind)
    assert not {name for name in words(Transport) if name not in source}


def test_a_session_is_what_a_transport_tells() -> None:
    assert words(Sink) == {"receive", "heard", "writable", "detached"}
    assert words(Sink) <= set(dir(Session))
