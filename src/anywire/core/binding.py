"""Binding: the handler's signature is the schema.

A `Binder` reads a function once, when it is decorated, and fails there if the signature cannot
work; then each message costs one decode into the handler's types and one call. Which of two shapes
a handler has is decided here: one free parameter that an object can fill takes the payload whole,
all others are fields.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from anywire.body import Args, Body, Form, Shape
from anywire.core.needs import Needs
from anywire.core.parts import Parts, item_type
from anywire.core.signature import EMPTY, Function, Lookup, Scope, Source
from anywire.errors import Refused

__all__ = ["Binder", "Emits", "Needs", "Scope", "Source"]


class Described(NamedTuple):
    """One field of a handler, for generated clients and documentation."""

    name: str
    type: Any
    required: bool


class Binder:
    """One function of the application, and how a message becomes a call of it.

    `path` are the names in the address's pattern, `kinds` the classes a parameter may ask for and
    the attribute of `Source` that holds each. `takes_event` gives a parameter `event` the event's
    name; `is_message` says that a payload is one whole value; `nesting` is `Limits.nesting`. Raises
    ConfigurationError for a signature that cannot work.
    """

    __slots__ = (
        "_items",
        "invoke",
        "is_async",
        "is_stream",
        "parameters",
        "takes_arguments",
        "uploads",
    )

    invoke: Callable[[Source, Args], Any]
    """Decode the arguments and call the function: its coroutine, async generator or value. Raises
    Refused.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        path: Sequence[str] = (),
        kinds: Mapping[type, str],
        takes_event: bool = False,
        is_message: bool = False,
        nesting: int,
    ) -> None:
        read = Function(function)
        if read.is_kind(inspect.isgeneratorfunction):
            raise read.wrong(
                None, "is a generator; a stream is an async generator (async def with yield)"
            )
        parts = Parts(read, Lookup(path, kinds, takes_event))
        fields = parts.fields(is_message, nesting)
        self.is_stream = read.is_kind(inspect.isasyncgenfunction)
        self.is_async = not self.is_stream and (
            read.is_kind(inspect.iscoroutinefunction) or len(parts.plan) > 0
        )
        self.parameters = tuple(
            Described(each.name, each.annotation, each.default is EMPTY) for each in parts.free
        )
        self.takes_arguments = bool(parts.free or parts.rest or parts.others)
        self.uploads = tuple((each.name, item_type(each)) for each in parts.streams)
        self._items = [parts.items(each, nesting) for each in parts.streams]
        self.invoke = parts.invoke(fields, is_stream=self.is_stream)

    def item(self, index: int, args: Args) -> object:
        """One item of the upload with this number, as its type. Raises Refused."""
        return self._items[index].read(args, {})[0]


class Emits:
    """What an event carries when it goes out, from a function's signature (`@channel.emits`).

    `names` are the fields for wires that carry them by name; None where `*args` leaves the number
    open.
    """

    __slots__ = ("_fields", "event", "names")

    def __init__(
        self, function: Callable[..., Any], event: str | None = None, *, nesting: int
    ) -> None:
        read = Function(function)
        self.event = read.name if event is None else event
        parts = Parts(read, Lookup((), {}, False))
        if parts.others is not None or parts.keywords or len(parts.plan) or parts.streams:
            raise read.wrong(
                None, "describes an event, whose arguments are plain and go by position"
            )
        self._fields = parts.fields(False, nesting)
        self.names = None if parts.rest else tuple(each.name for each in parts.free)

    def body(self, values: tuple[object, ...]) -> Body:
        """What goes out. Raises ValueError, naming event and field, where these are not the
        arguments that were declared.
        """
        is_one = len(values) == 1
        try:
            body = Body.of(*values)
            json, blobs = body.one if is_one else (body.json, body.blobs)
            args = Args(json, Form.JSON, Shape.ONE if is_one else Shape.LIST, blobs)
            self._fields.read_all(args, {})
        except ValueError as error:
            raise ValueError(f'event "{self.event}": {error}') from None
        except Refused as error:
            raise ValueError(f'event "{self.event}": {error.text}') from None
        if self.names is None:
            return body
        return Body(body.json, body.blobs, names=self.names, values=values)
