"""Signatures: what a function's parameters are, and which of them the address, the member or the
event fills.
"""

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from types import FunctionType, MethodType
from typing import Annotated, Any, Protocol, get_args, get_origin

from anywire.core.conversion import Conversion, leaves
from anywire.errors import ConfigurationError

EMPTY: Any = inspect.Parameter.empty


class Source(Protocol):
    """What a function may ask for besides the arguments of the message."""

    @property
    def member(self) -> object: ...

    @property
    def path(self) -> Mapping[str, str]: ...

    @property
    def event(self) -> str: ...

    @property
    def later(self) -> object: ...

    @property
    def left(self) -> object: ...

    @property
    def uploads(self) -> Sequence[object]: ...


class Scope:
    """A source that holds just these: of a join, of a leave."""

    __slots__ = ("event", "later", "left", "member", "path", "uploads")

    def __init__(
        self,
        member: object,
        path: Mapping[str, str],
        event: str,
        *,
        later: object = None,
        left: object = None,
        uploads: Sequence[object] = (),
    ) -> None:
        self.member = member
        self.path = path
        self.event = event
        self.later = later
        self.left = left
        self.uploads = uploads


Getter = Callable[[Source], Any]


@dataclass(slots=True, frozen=True)
class Parameter:
    """One parameter of a function, its annotation resolved; `default` and `annotation` may be
    EMPTY.
    """

    name: str
    annotation: Any
    default: Any
    kind: Any

    @property
    def plain(self) -> Any:
        """The annotation without the metadata of `Annotated`."""
        annotated = get_origin(self.annotation) is Annotated
        return get_args(self.annotation)[0] if annotated else self.annotation

    @property
    def is_catch_all(self) -> bool:
        """Whether it is `*args` or `**fields`."""
        return self.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Function:
    """A function of the application and its parameters. Raises ConfigurationError where they cannot
    be read.
    """

    __slots__ = ("call", "label", "name", "parameters")

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        source = _source(call)
        self.name: str = getattr(source, "__name__", type(call).__name__)
        if inspect.isclass(call):
            self.name = call.__name__
        code = getattr(source, "__code__", None)
        place = f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
        self.label = f"{place}{self.name}()"
        try:
            found = inspect.signature(call).parameters.values()
        except (TypeError, ValueError) as error:
            raise self.wrong(None, f"has no signature to read: {error}") from None
        known = _locals_around(source)
        self.parameters = tuple(
            Parameter(each.name, self._hint(each, source, known), each.default, each.kind)
            for each in found
        )

    def wrong(self, name: str | None, what: str) -> ConfigurationError:
        """The error that names function, place and parameter."""
        return ConfigurationError(
            f"{self.label}: parameter `{name}` {what}" if name else f"{self.label} {what}"
        )

    def conversion(self, parameter: Parameter) -> Conversion:
        """How values become this parameter."""
        annotation = object if parameter.annotation is EMPTY else parameter.annotation
        try:
            return Conversion(annotation)
        except TypeError as error:
            raise self.wrong(parameter.name, f"cannot be read from a message: {error}") from error

    def is_kind(self, test: Callable[[Any], bool]) -> bool:
        """Whether `inspect`'s test holds for the function, or for the `__call__` of the object that
        it is.
        """
        return test(self.call) or test(type(self.call).__call__)

    def _hint(self, each: inspect.Parameter, source: Any, known: Mapping[str, Any]) -> Any:
        if each.annotation is EMPTY:
            return EMPTY

        def bearer() -> None: ...

        bearer.__annotations__ = {each.name: each.annotation}
        try:
            hints = typing.get_type_hints(bearer, getattr(source, "__globals__", {}), known, True)
        except (NameError, TypeError, SyntaxError, AttributeError) as error:
            what = f"has an unknown annotation: {error}; its names must be imported in this module"
            raise self.wrong(each.name, what) from error
        return hints[each.name]


class Lookup:
    """Which parameters the address, the scope and the event fill, for one kind of handler.

    `kinds` maps classes to attributes of `Source`; such a parameter needs no annotation when it has
    the attribute's name.
    """

    __slots__ = ("_kinds", "_takes_event", "path")

    def __init__(self, path: Sequence[str], kinds: Mapping[type, str], takes_event: bool) -> None:
        self.path = frozenset(path)
        self._kinds = kinds
        self._takes_event = takes_event

    def getter(self, function: Function, parameter: Parameter) -> Getter | None:
        """What fills this parameter; None for one that these do not fill."""
        name, plain = parameter.name, parameter.plain
        kind = next((kind for kind in self._kinds if kind is plain), None)
        if name in self.path and not parameter.is_catch_all:
            if kind is not None:
                raise function.wrong(
                    name, f"comes from the address; name the {kind.__name__} otherwise"
                )
            return _part_of_address(function, parameter)
        if kind is not None:
            return attrgetter(self._kinds[kind])
        for part in leaves(plain):
            if any(part is kind for kind in self._kinds):
                raise function.wrong(
                    name, f"is asked for as `{name}: {part.__name__}`, with nothing around it"
                )
        if plain is EMPTY and name in self._kinds.values():
            return attrgetter(name)
        if self._takes_event and name == "event" and plain in (EMPTY, str):
            return attrgetter("event")
        return None

    def known(self) -> str:
        """The classes a parameter may be annotated with, for texts."""
        return ", ".join(sorted(kind.__name__ for kind in self._kinds))


def _part_of_address(function: Function, parameter: Parameter) -> Getter:
    name = parameter.name
    if parameter.annotation in (EMPTY, str, object, Any):
        return lambda scope: scope.path[name]
    convert = function.conversion(parameter).from_text
    return lambda scope: convert(scope.path[name], name)


def _source(call: Any) -> Any:
    """The function whose globals an annotation's names are looked up in."""
    while True:
        call = inspect.unwrap(call)
        if isinstance(call, partial):
            call = call.func
        elif isinstance(call, MethodType):
            call = call.__func__
        elif inspect.isclass(call):
            call = call.__init__
        elif not isinstance(call, FunctionType) and isinstance(type(call).__call__, FunctionType):
            call = type(call).__call__
        else:
            return call


def _locals_around(source: Any) -> dict[str, Any]:
    """The names of the running function in which this one is being defined: local classes."""
    outer, inner, _ = getattr(source, "__qualname__", "").rpartition(".<locals>.")
    frame = sys._getframe() if inner else None
    while frame is not None:
        if frame.f_code.co_qualname == outer and frame.f_globals is source.__globals__:
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}
