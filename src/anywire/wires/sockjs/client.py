"""The other end of a SockJS conversation over a WebSocket, for tests and people with a terminal.

Its URL names a session: `ws://…/sockjs/echo/000/anything/websocket`.
"""

from collections.abc import Sequence

import msgspec

from anywire.errors import ProtocolError
from anywire.frames import At, Beat, Bye, Event, Frame
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Request
from anywire.wires.nameless import event_of
from anywire.wires.sockjs.codec import SOCKJS, items

_closing = msgspec.json.Decoder(tuple[int, str]).decode


class SockJsClient:
    """Hears frames, and says messages: what the server says without the letter in front of it."""

    __slots__ = ("_alias", "_limits")

    caps = SOCKJS.caps
    is_single = True

    def __init__(self, alias: str = "", *, limits: Limits | None = None) -> None:
        self._alias = alias
        self._limits = limits or Limits()

    def opening(self) -> Request:
        return Request()

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        return ()

    def heard(self, now: float) -> None:
        """Nobody waits for a sign of life."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if not isinstance(message, str):
            raise ProtocolError("frames of SockJS are text", code=1003)
        kind, rest = message[:1], message[1:]
        if kind == "a" and rest[:1] == "[":
            return [event_of(self._alias, one, self._limits) for one in items(rest, self._limits)]
        if kind == "c":
            try:
                return (Bye(*_closing(rest)),)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise ProtocolError("a close frame has a code and a reason", code=1007) from error
        if message == "h":
            return (Beat(),)
        if message == "o":
            return ()
        raise ProtocolError("a frame begins with o, h, a or c")

    def send(self, frame: Frame) -> Sequence[Payload]:
        if not isinstance(frame, Event):
            return ()
        at = At(frame.alias, volatile=frame.volatile)
        payload = SOCKJS.event(frame.alias, frame.event, frame.args.body(), at)
        payload.data = payload.data[1:]
        return (payload,)

    def due(self) -> Sequence[Payload]:
        return ()

    def deadline(self) -> float | None:
        return None

    def tick(self, now: float) -> Sequence[Frame]:
        return ()
