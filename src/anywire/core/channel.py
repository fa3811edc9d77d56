"""Channel: the application's side of an address pattern, its handlers and what its rooms keep.

Names: an *address* is what clients join (`chat:lobby`), a *pattern* matches addresses
(`chat:{room}`). Neither holds a slash: rooms that members enter are named `<channel>/<name>`, so no
client's string can reach another address.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from anywire.body import Body
from anywire.brokers.base import Keep
from anywire.core.binding import Binder, Emits
from anywire.core.presence import PRESENCE
from anywire.errors import ConfigurationError, Refused
from anywire.limits import Limits
from anywire.payload import Policy
from anywire.wires.base import NOTHING

if TYPE_CHECKING:
    from anywire.core.member import Member

Function = TypeVar("Function", bound=Callable[..., Any])
PresenceKey = Callable[["Member"], str]
Guard = Callable[["Member"], Any]

_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
_PART = r"([^/\x00-\x1f\x7f]+)"
MESSAGE = "message"
"""The event that travels without a name on wires that have none."""
__all__ = ["MESSAGE", "PRESENCE", "Channel", "Channels", "Guard", "Handler", "Left", "PresenceKey"]


class Left(msgspec.Struct, frozen=True):
    """Why a membership ended."""

    code: str | int = ""
    """An application's or protocol's word, or the close code of the connection that was lost."""
    text: str = ""
    clean: bool = True
    """The client said goodbye itself."""


class Handler:
    """One function of the application, bound, with its options."""

    __slots__ = ("binder", "collect", "event", "guards", "parallel")

    def __init__(
        self, event: str, binder: Binder, *, parallel: int, guards: Sequence[Guard], collect: bool
    ) -> None:
        self.event = event
        self.binder = binder
        self.parallel = parallel
        self.guards = tuple(guards)
        self.collect = collect


class Channel:
    """Handlers for the addresses of one pattern; made by `Anywire.channel`.

    `history`: publications kept per room, for `history_seconds`; 0 keeps none. `presence`: True, or
    the key of a member (default: its user's id). `policy`: what a slow member's full outbox does.
    `parallel`: handlers of one member and event that may run at once. `personal`: the room is
    `<address>/<user id>`, and anonymous users are refused.
    """

    def __init__(
        self,
        pattern: str,
        *,
        kinds: Mapping[type, str],
        history: int = 0,
        history_seconds: float = 300.0,
        presence: bool | PresenceKey = False,
        policy: Policy = Policy.CLOSE,
        parallel: int = 1,
        personal: bool = False,
        limits: Limits | None = None,
    ) -> None:
        if not pattern or "/" in pattern or not pattern.isprintable():
            raise ConfigurationError(
                f'the pattern {pattern!r} must be printable, not empty and without "/"; '
                'for example "chat:{room}"'
            )
        self.pattern = pattern
        self.fields: tuple[str, ...] = tuple(_FIELD.findall(pattern))
        if len(set(self.fields)) != len(self.fields):
            raise ConfigurationError(f'the pattern "{pattern}" names a field twice')
        literals = _FIELD.split(pattern)[::2]
        if any("{" in literal or "}" in literal for literal in literals):
            raise ConfigurationError(
                f'the pattern "{pattern}" has a brace that is no field; for example "chat:{{room}}"'
            )
        self.name = literals[0].rstrip(":.-_") or pattern
        """What entered rooms begin with, before their slash."""
        self._literals = literals
        self._match = re.compile(_PART.join(map(re.escape, literals)))
        self.keep = Keep(size=history, seconds=history_seconds) if history > 0 else None
        self.presence = presence
        self.policy = policy
        self.parallel = parallel
        self.personal = personal
        self.handlers: dict[str, Handler] = {}
        self.catch_all: Handler | None = None
        self.joining: Handler | None = None
        self.leaving: Handler | None = None
        self.emitted: dict[str, Emits] = {}
        self._kinds = kinds
        self._nesting = (limits or Limits()).nesting

    def match(self, address: str) -> dict[str, str] | None:
        """The fields of an address of this pattern; None for any other address."""
        found = self._match.fullmatch(address)
        return None if found is None else dict(zip(self.fields, found.groups(), strict=True))

    def fill(self, parts: Mapping[str, object]) -> str | None:
        """The address with these parts in its fields; None where one is missing, is neither text
        nor an integer, or would be read as something else.
        """
        filled = {}
        for field in self.fields:
            part = parts.get(field)
            if type(part) is not str and type(part) is not int:
                return None
            filled[field] = str(part)
        values = ["", *filled.values()]
        address = "".join(map("".join, zip(values, self._literals, strict=True)))
        return address if self.match(address) == filled else None

    def join(self, function: Function) -> Function:
        """Decorate what decides whether a member may join; its value is part of the answer."""
        self.joining = self._handler("join", function, taken=self.joining is not None)
        self._check_plain(self.joining)
        return function

    def leave(self, function: Function) -> Function:
        """Decorate what runs when a membership ends, while `member.rooms` is still full."""
        self.leaving = self._handler("leave", function, taken=self.leaving is not None)
        self._check_plain(self.leaving)
        if self.leaving.binder.takes_arguments:
            raise ConfigurationError(
                f'the leave handler of "{self.pattern}" asks for arguments, but a leave has none: '
                "it may take the member, why (Left), and parts of the address"
            )
        return function

    def on(
        self,
        event: str,
        *,
        parallel: int | None = None,
        guards: Sequence[Guard] = (),
        collect: bool = False,
    ) -> Callable[[Function], Function]:
        """Decorate the handler of one event.

        `parallel`: how many of one member may run at once; the next waits, and what follows it too.
        `guards`: called with the member first, each may raise Refused or return False. `collect`: a
        stream becomes a list in the reply where a client asks for a reply.
        """

        def decorate(function: Function) -> Function:
            self.handlers[event] = self._handler(
                event,
                function,
                taken=event in self.handlers,
                parallel=parallel,
                guards=guards,
                collect=collect,
            )
            return function

        return decorate

    def message(self, function: Function) -> Function:
        """Decorate the handler of the nameless event; where events have names it is `message`.

        With options: `@channel.on("message", parallel=8)`.
        """
        return self.on(MESSAGE)(function)

    def any(self, function: Function) -> Function:
        """Decorate what takes events that no `on` takes: `(member, event, *args)`."""
        self.catch_all = self._handler(
            "any", function, taken=self.catch_all is not None, takes_event=True
        )
        return function

    def emits(self, function: Function) -> Function:
        """Declare an event that goes out by a function that is never called: its name with `-` for
        `_`, and its parameters. What is sent or published under that name must fit them.
        """
        event = function.__name__.replace("_", "-")
        self.emitted[event] = Emits(function, event, nesting=self._nesting)
        return function

    def find(self, event: str) -> Handler:
        """The handler of an event. Raises Refused naming the known events."""
        handler = self.handlers.get(event) or self.catch_all
        if handler is None:
            known = ", ".join(sorted(self.handlers)) or "none"
            raise Refused(
                "unknown_event",
                f'event "{event:.80}" is unknown on "{self.pattern}"; known: {known}',
            )
        return handler

    def body(self, event: str, args: tuple[object, ...]) -> Body:
        """What an event that goes out carries. Raises ValueError for values JSON cannot hold, and
        for others than `emits` declares.
        """
        emitted = self.emitted.get(event)
        return Body.of(*args) if emitted is None else emitted.body(args)

    def _handler(
        self,
        event: str,
        function: Callable[..., Any],
        *,
        taken: bool,
        parallel: int | None = None,
        guards: Sequence[Guard] = (),
        collect: bool = False,
        takes_event: bool = False,
    ) -> Handler:
        if taken:
            raise ConfigurationError(f'"{self.pattern}" has a handler for "{event}" already')
        binder = Binder(
            function,
            path=self.fields,
            kinds=self._kinds,
            takes_event=takes_event,
            is_message=event == MESSAGE,
            nesting=self._nesting,
        )
        limit = self.parallel if parallel is None else parallel
        if limit < 1:
            raise ConfigurationError(f'parallel={limit} on "{event}": at least 1')
        if collect and not binder.is_stream:
            raise ConfigurationError(f'collect=True on "{event}", which is no stream')
        return Handler(event, binder, parallel=limit, guards=guards, collect=collect)

    def _check_plain(self, handler: Handler) -> None:
        if handler.binder.is_stream or handler.binder.uploads:
            raise ConfigurationError(
                f'the {handler.event} handler of "{self.pattern}" can be no stream'
            )


class Channels:
    """All channels of an app, found by address."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self) -> None:
        self._exact: dict[str, Channel] = {}
        self._patterns: list[Channel] = []

    def add(self, channel: Channel) -> None:
        """Raises ConfigurationError for a pattern that is there already, or whose entered rooms
        would be the rooms of a personal channel's users.
        """
        for other in self:
            if channel.pattern == other.pattern:
                raise ConfigurationError(f'there is a channel "{channel.pattern}" already')
            for one, two in ((channel, other), (other, channel)):
                if one.personal and not two.personal and one.match(two.name) is not None:
                    raise ConfigurationError(
                        f'rooms entered on "{two.pattern}" would be named "{two.name}/…", as those '
                        f'of the users of "{one.pattern}"; choose another name'
                    )
        if channel.fields:
            self._patterns.append(channel)
        else:
            self._exact[channel.pattern] = channel

    def __iter__(self) -> Iterator[Channel]:
        yield from self._exact.values()
        yield from self._patterns

    def find(self, address: str) -> tuple[Channel, Mapping[str, str]]:
        """The channel of an address and its fields: exact ones first, then patterns in the order
        they were made. Raises Refused `unknown_address`.
        """
        exact = self._exact.get(address)
        if exact is not None:
            return exact, NOTHING
        for channel in self._patterns:
            fields = channel.match(address)
            if fields is not None:
                return channel, fields
        known = ", ".join(f'"{channel.pattern}"' for channel in self) or "none"
        raise Refused("unknown_address", f'no channel takes "{address:.80}"; known: {known}')

    def fill(self, name: str, parts: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """The address that a client means by the name of a channel and parts of its pattern, and
        the parts that stand for nothing there.

        Of the channels of that name it is the one with the most fields that these parts fill; where
        they fill none, the name is the address.
        """
        address: str = name
        taken: tuple[str, ...] = ()
        for channel in self._patterns:
            if channel.name == name and len(channel.fields) > len(taken):
                filled = channel.fill(parts)
                if filled is not None and self.find(filled)[0] is channel:
                    address, taken = filled, channel.fields
        return address, {key: part for key, part in parts.items() if key not in taken}

    def of_room(self, room: str) -> Channel | None:
        """The channel a room belongs to, by its name; None where none takes it."""
        name, slash, _ = room.partition("/")
        if slash:
            for channel in self:
                if channel.name == name or channel.match(name) is not None:
                    return channel
            return None
        try:
            return self.find(room)[0]
        except Refused:
            return None
