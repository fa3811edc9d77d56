"""Conversation: what `anywire talk` says and hears, raw or in the words of a wire. Pure.

A line that was typed becomes payloads, a message that arrived becomes entries. `WireConversation`
drives any wire's client machine (`wires.base.Client`), so another wire is one line in `CLIENTS`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from anywire.body import Args, Body, one_of
from anywire.cli.entry import Entry, failed
from anywire.cli.script import event_line, raw_line
from anywire.errors import Closed
from anywire.frames import (
    Bye,
    Data,
    End,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Presence,
    Ref,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.actioncable import ActionCableClient
from anywire.wires.anywire import OwnClient
from anywire.wires.anywire.codec import SUBPROTOCOLS
from anywire.wires.base import Cap, Client, Request
from anywire.wires.phoenix import PhoenixClient
from anywire.wires.signalr import SignalRClient
from anywire.wires.socketio import SocketIoClient
from anywire.wires.sockjs import SockJsClient

MOST = 64 * 1024 * 1024
"""Bytes of the largest message heard: a person who looks into a server wants to see it."""
_EVENTS = 1000
"""Names of events that are remembered."""
CLIENTS: Mapping[str, Callable[[str | None], Client]] = {
    "actioncable": lambda subprotocol: ActionCableClient(Limits(message=MOST)),
    "anywire": lambda subprotocol: OwnClient(
        subprotocol or next(iter(SUBPROTOCOLS)), limits=Limits(message=MOST)
    ),
    "phoenix": lambda subprotocol: PhoenixClient(Limits(message=MOST)),
    "signalr": lambda subprotocol: SignalRClient(limits=Limits(message=MOST)),
    "socketio": lambda subprotocol: SocketIoClient(Limits(message=MOST)),
    "sockjs": lambda subprotocol: SockJsClient(limits=Limits(message=MOST)),
}
"""What makes the client machine of a wire, given the subprotocol asked for, if one was."""
KNOWN_SUBPROTOCOLS: Mapping[str, Sequence[str]] = {
    "actioncable": (),
    "anywire": tuple(SUBPROTOCOLS),
    "phoenix": (),
    "signalr": (),
    "socketio": (),
    "sockjs": (),
}


class Said(msgspec.Struct, frozen=True):
    """What a line became."""

    entry: Entry
    payloads: Sequence[Payload]


class Conversation(Protocol):
    """One talk. `receive` and `tick` raise ProtocolError or Closed when it cannot go on."""

    is_ready: bool
    """What the user types may be said now."""
    refusals: int
    """Joins and messages that the server refused."""
    is_out: bool
    """A join was refused, so that there is nothing left to do."""

    def opening(self) -> Request: ...

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Entry]: ...

    def say(self, line: str) -> Said:
        """Raises ValueError, in words for the user, where the line cannot be said."""
        ...

    def receive(self, message: Message, now: float) -> Sequence[Entry]: ...

    def heard(self, now: float) -> None: ...

    def due(self) -> Sequence[Payload]: ...

    def deadline(self) -> float | None: ...

    def tick(self, now: float) -> None: ...

    def words(self) -> Sequence[str]:
        """What a line may well begin with; may be called from another thread."""
        ...


class RawConversation:
    """Messages as they are."""

    __slots__ = ("_is_json", "_subprotocols", "is_out", "is_ready", "refusals")

    def __init__(self, subprotocols: Sequence[str] = (), *, is_json: bool = False) -> None:
        self._subprotocols = subprotocols
        self._is_json = is_json
        self.is_ready = False
        self.refusals = 0
        self.is_out = False

    def opening(self) -> Request:
        return Request(subprotocols=self._subprotocols)

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Entry]:
        self.is_ready = True
        return ()

    def say(self, line: str) -> Said:
        message = raw_line(line, is_json=self._is_json)
        return Said(_message("out", message), (Payload.of(message),))

    def receive(self, message: Message, now: float) -> Sequence[Entry]:
        return (_message("in", message),)

    def heard(self, now: float) -> None:
        """Nobody waits for a sign of life."""

    def due(self) -> Sequence[Payload]:
        return ()

    def deadline(self) -> float | None:
        return None

    def tick(self, now: float) -> None:
        """There is no deadline."""

    def words(self) -> Sequence[str]:
        return ()


class WireConversation:
    """Events over a wire's client machine: joins `addresses`, then talks at the first of them.

    A wire with one membership has joined by itself. Every event is a call where the wire has
    answers, so that its answer comes back.
    """

    __slots__ = (
        "_addresses",
        "_asked",
        "_client",
        "_due",
        "_events",
        "_is_json",
        "_joining",
        "_serial",
        "is_out",
        "is_ready",
        "refusals",
    )

    def __init__(self, client: Client, addresses: Sequence[str], *, is_json: bool = False) -> None:
        self._client = client
        self._addresses = addresses
        self._is_json = is_json
        self._joining: dict[Ref, str] = {}
        self._asked: dict[Ref, str] = {}
        self._serial = 0
        self._due: list[Payload] = []
        self._events: dict[str, None] = {}
        self.is_ready = False
        self.refusals = 0
        self.is_out = False

    def opening(self) -> Request:
        return self._client.opening()

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Entry]:
        self.is_ready = self._client.is_single
        return self._hear(self._client.opened(subprotocol, now))

    def say(self, line: str) -> Said:
        said = event_line(line, is_json=self._is_json)
        nowhere = "" if self._client.is_single else None
        address = said.address or next(iter(self._addresses), nowhere)
        if address is None:
            raise ValueError("there is no address to say this to; join one: --join ADDRESS")
        want = self._want(said.stream)
        ref = None if want is Want.NOTHING else self._ref()
        frame = Event(address, said.event, Body.of(*said.values), ref, want)
        payloads = self._client.send(frame)
        self._know(said.event)
        if ref is not None:
            self._asked[ref] = said.event
        entry = Entry(
            direction="out",
            type="event",
            address=address or None,
            event=said.event,
            data=said.one_value,
        )
        return Said(entry, payloads)

    def receive(self, message: Message, now: float) -> Sequence[Entry]:
        return self._hear(self._client.receive(message, now))

    def heard(self, now: float) -> None:
        self._client.heard(now)

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return [*self._client.due(), *due]

    def deadline(self) -> float | None:
        return self._client.deadline()

    def tick(self, now: float) -> None:
        for frame in self._client.tick(now):
            if isinstance(frame, Bye):
                raise Closed(frame.code, frame.text)

    def words(self) -> Sequence[str]:
        """The events said and heard."""
        return tuple(self._events)

    def _know(self, event: str) -> None:
        if len(self._events) < _EVENTS:
            self._events[event] = None

    def _want(self, is_stream: bool) -> Want:
        caps = self._client.caps
        if is_stream and Cap.STREAM in caps:
            return Want.STREAM
        return Want.REPLY if Cap.REPLY in caps else Want.NOTHING

    def _ref(self) -> int:
        self._serial += 1
        return self._serial

    def _hear(self, frames: Sequence[Frame]) -> Sequence[Entry]:
        return [entry for frame in frames if (entry := self._entry(frame)) is not None]

    def _entry(self, frame: Frame) -> Entry | None:
        match frame:
            case Welcome():
                return self._welcomed(frame)
            case Joined():
                self._joining.pop(frame.ref or 0, None)
                self.is_ready = not self._joining
                return Entry(type="joined", address=frame.alias, data=_optional(frame.data))
            case Refusal():
                return self._refused(frame)
            case Event():
                return self._event(frame)
            case Item():
                return Entry(type="item", event=self._asked.get(frame.ref), data=_value(frame.data))
            case Reply() | End():
                return self._answer(frame)
            case Leave():
                return Entry(type="leave", address=frame.alias, data=_error(frame.code, frame.text))
            case Presence():
                change = {
                    "joined": dict(frame.joined),
                    "left": dict(frame.left),
                    "whole": frame.whole,
                }
                return Entry(type="presence", address=frame.alias, data=change)
            case Gap():
                return Entry(type="gap", address=frame.alias, data={"lost": frame.lost})
            case _:
                return None

    def _welcomed(self, welcome: Welcome) -> Entry:
        for address in self._addresses:
            ref = self._ref()
            self._joining[ref] = address
            self._due += self._client.send(Join(ref, address, address))
        self.is_ready = not self._joining
        return Entry(direction="here", type="welcome", data={"session": welcome.session})

    def _event(self, frame: Event) -> Entry:
        self._know(frame.event)
        is_call = frame.want is not Want.NOTHING and frame.ref is not None
        if is_call:
            assert frame.ref is not None
            no = Reply(
                frame.ref, frame.alias, code="unsupported", text="a terminal answers no calls"
            )
            self._due += self._client.send(no)
        # With one address there is no doubt where it comes from.
        is_told = frame.alias and (len(self._addresses) > 1 or self._is_json)
        address = frame.alias if is_told else None
        kind = "call" if is_call else "event"
        return Entry(type=kind, address=address, event=frame.event, data=_value(frame.args))

    def _answer(self, frame: Reply | End) -> Entry | None:
        event = self._asked.pop(frame.ref, None)
        if frame.code:
            self.refusals += 1
            return failed(f"{event or 'a call'}: {frame.code}{frame.text and f': {frame.text}'}")
        if isinstance(frame, End):
            return Entry(type="end", event=event)
        data = _optional(frame.data)
        return Entry(type="reply", event=event, data=None if data is msgspec.UNSET else data)

    def _refused(self, frame: Refusal) -> Entry:
        self.refusals += 1
        if frame.ref is None and frame.alias is None and frame.event is None:
            return Entry(type="refused", data={"code": frame.code, "text": frame.text})
        what = frame.event or frame.alias
        if frame.ref is not None and frame.ref in self._asked:
            what = self._asked.pop(frame.ref)
        elif self._joining.pop(frame.ref or 0, None) is not None:
            what = f"join {frame.alias or ''}".rstrip()
            self.is_out = True
        return failed(f"{what}: {frame.code}{frame.text and f': {frame.text}'}")


def _message(direction: str, message: Message) -> Entry:
    kind = "text" if isinstance(message, str) else "binary"
    return Entry(direction=direction, type=kind, data=message)


def _value(data: Data) -> object:
    values = data.values() if isinstance(data, Args) else data.values
    return one_of(values) if values else msgspec.UNSET


def _optional(data: Data | None) -> object:
    return msgspec.UNSET if data is None else _value(data)


def _error(code: str, text: str) -> object:
    return {"code": code, "text": text} if code or text else msgspec.UNSET
