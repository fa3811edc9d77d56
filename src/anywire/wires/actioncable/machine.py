"""The server's end of an Action Cable conversation: subscriptions over one socket.

Action Cable protocol, `actioncable-v1-json`, Connection::Subscriptions. A subscription is a
membership under its identifier. What Rails writes to its log and tells nobody (commands it does not
know, messages to no subscription, a second subscribe) is ignored here too.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from anywire.body import Body
from anywire.frames import (
    At,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Leave,
    Presence,
    Refusal,
    Since,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.actioncable import codec as words
from anywire.wires.actioncable.codec import PLAIN
from anywire.wires.actioncable.commands import Command, event_of, parse
from anywire.wires.actioncable.names import address_of, parsed
from anywire.wires.base import Codec, Machine
from anywire.wires.nameless import said
from anywire.wires.pulse import Pulse

SILENT = frozenset(("unknown_event", "unknown_address", "internal"))
"""Codes of refused events that clients hear nothing of, as with Rails: there is nothing they could
tell them from a message by."""

HASTY = "rate"
"""Code of a join that comes too soon after others. Clients ask again until they are answered, and
stay away when they are rejected."""


class Extension(Protocol):
    """What another subprotocol adds to a conversation."""

    codec: Codec

    def since(self, command: Command) -> Since | None:
        """From where a subscription that is asked for is to catch up."""
        ...

    def subscribed(self, command: Command) -> Sequence[Frame]:
        """What else a subscribe asks for."""
        ...

    def command(self, command: Command) -> Sequence[Frame]:
        """A command of a live subscription that the base protocol does not know."""
        ...

    def send(self, frame: Frame) -> Sequence[Payload]:
        """What to write for a frame; of Joined, what follows the confirmation."""
        ...

    def spoken_to(self, alias: str) -> None:
        """The client speaks to a subscription, and so has heard that it stands."""
        ...

    def is_unheard(self, alias: str) -> bool:
        """Whether a client that asks for what is subscribed may not have heard that it is."""
        ...

    def due(self) -> Sequence[Payload]:
        """What it has to say by itself since the last call."""
        ...

    def forget(self, alias: str) -> None:
        """The subscription is over."""
        ...

    def follow(self, before: "Extension") -> Collection[str]:
        """Go on as this one; returns the subscriptions that still stand."""
        ...


class Pings:
    """Makes the ping of a second once, for all conversations of a mount."""

    __slots__ = ("_ping", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._ping = words.ping(0)

    def at(self, second: int) -> Payload:
        """The ping that says this unix time."""
        if second != self._second:
            self._second = second
            self._ping = words.ping(second)
        return self._ping


class ActionCableMachine:
    """One client. `prefix`: what stands before the names of channels in addresses; `every`: seconds
    between pings; `wall`: unix time minus loop time; `pulse`: asks the carrier, as clients of this
    protocol answer nothing.
    """

    __slots__ = (
        "_due",
        "_every",
        "_extension",
        "_limits",
        "_next",
        "_pings",
        "_prefix",
        "_pulse",
        "_subscriptions",
        "_wall",
        "caps",
        "codec",
        "received",
    )

    is_single = False

    def __init__(
        self,
        limits: Limits,
        pulse: Pulse,
        pings: Pings,
        *,
        every: float,
        wall: float,
        prefix: str = "",
        extension: Extension | None = None,
    ) -> None:
        self.codec: Codec = PLAIN if extension is None else extension.codec
        self.caps = self.codec.caps
        self.received = 0
        self._limits = limits
        self._pulse = pulse
        self._pings = pings
        self._every = every
        self._wall = wall
        self._prefix = prefix
        self._extension = extension
        self._subscriptions: set[str] | None = None
        """Identifiers that are subscribed, or asked for."""
        self._next: float | None = None
        self._due: list[Payload] | None = None

    # --- in -------------------------------------------------------------------------------------

    def opened(self, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        self._next = now + self._every
        return ()

    def follow(self, before: Machine, now: float) -> Sequence[Frame]:
        """Subscriptions that the extension cannot restore are over."""
        assert isinstance(before, ActionCableMachine)  # the session is of one wire
        assert self._extension is not None and before._extension is not None
        self._subscriptions = set(self._extension.follow(before._extension))
        self._next = now + self._every
        over = (before._subscriptions or set()) - self._subscriptions
        return [Leave(alias, code="lost", text="the client was cut") for alias in over]

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        command = parse(message, self._limits)
        alias = command.identifier
        if command.command == "subscribe":
            return self._subscribe(command)
        subscriptions = self._subscriptions
        if subscriptions is None or alias not in subscriptions:
            return ()
        if self._extension is not None:
            self._extension.spoken_to(alias)
        if command.command == "message":
            event = event_of(alias, command.data, self._limits)
            return () if event is None else (event,)
        if command.command == "unsubscribe":
            self._forget(alias)
            return (Leave(alias),)
        return () if self._extension is None else self._extension.command(command)

    def _subscribe(self, command: Command) -> Sequence[Frame]:
        alias = command.identifier
        subscriptions = self._subscriptions
        if subscriptions is None:
            subscriptions = self._subscriptions = set()
        if alias in subscriptions:
            # Clients ask again until they are answered, and take one answer.
            if self._extension is not None and self._extension.is_unheard(alias):
                self._say(words.confirm(alias))
            return ()
        found = parsed(alias, self._limits)
        if found is None or len(subscriptions) >= self._limits.members:
            self._say(words.reject(alias))
            return ()
        channel, parts = found
        subscriptions.add(alias)
        join = Join(None, f"{self._prefix}{address_of(channel)}", alias, parts=parts)
        if self._extension is None:
            return (join,)
        join.since = self._extension.since(command)
        return (join, *self._extension.subscribed(command))

    # --- out ------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Event():
                at = At("", volatile=frame.volatile)
                return (self.codec.event(frame.alias, frame.event, frame.args.body(), at),)
            case Joined():
                return self._joined(frame)
            case Refusal(event=str()):
                return self._refused(frame)
            case Refusal(event=None, alias=str() as alias):
                self._forget(alias)
                return () if frame.code == HASTY else (words.reject(alias),)
            case Gap():
                return said(frame, self.codec)
            case Leave():
                # The one word that ends a subscription: what clients of Rails call `rejected`.
                self._forget(frame.alias)
                return (words.reject(frame.alias),)
            case Welcome() if self._extension is None:
                return (words.welcome(),)
            case Bye():
                return self._bye(frame)
            case Presence() if self._extension is None:
                return (self.codec.presence(frame.alias, frame),)
            case _:
                return () if self._extension is None else self._extension.send(frame)

    def _joined(self, frame: Joined) -> Sequence[Payload]:
        """With the extension the message comes first: who has heard the confirmation has it."""
        said: list[Payload] = []
        if frame.data is not None:
            body: Body = frame.data.body()
            said.append(self.codec.event(frame.alias, "message", body, At("")))
        if self._extension is None:
            return [words.confirm(frame.alias), *said]
        return [*said, words.confirm(frame.alias), *self._extension.send(frame)]

    def _refused(self, frame: Refusal) -> Sequence[Payload]:
        told = () if self._extension is None else self._extension.send(frame)
        if told or frame.code in SILENT:
            return told
        return said(frame, self.codec)

    def _bye(self, bye: Bye) -> Sequence[Payload]:
        """A client of the extension forgets where it was when it is told to disconnect: for a
        server that only restarts, it is enough to hang up.
        """
        if self._extension is not None and bye.code == 1001 and bye.retry is not None:
            return ()
        return (words.goodbye(bye),)

    def _forget(self, alias: str) -> None:
        if self._subscriptions is not None:
            self._subscriptions.discard(alias)
        if self._extension is not None:
            self._extension.forget(alias)

    def _say(self, payload: Payload) -> None:
        self._due = [payload] if self._due is None else [*self._due, payload]

    def due(self) -> Sequence[Payload]:
        asked = () if self._extension is None else self._extension.due()
        if self._due is None:
            return asked
        due, self._due = self._due, None
        return [*due, *asked]

    # --- time -----------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        probe = self._pulse.deadline()
        if probe is None or self._next is None:
            return self._next
        return min(probe, self._next)

    def tick(self, now: float) -> Sequence[Frame]:
        if self._next is not None and now >= self._next:
            self._next = now + self._every
            self._say(self._pings.at(int(now + self._wall)))
        frames = self._pulse.tick(now)
        if frames and isinstance(frames[0], Bye):
            self._next = None
        return frames
