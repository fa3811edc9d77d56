"""Conversion: plain values of a message into one type of the application.

msgspec knows most types. Two it does not know are read through hooks: `str | bytes` as a whole, and
whatever pydantic has a validator for; pydantic is never imported here, since who has a model has
imported it.
"""

import dataclasses
import re
import sys
import types
import typing
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec.inspect import CustomType, ExtType, RawType, Type, type_info

from anywire.errors import Refused

Hook = Callable[[object], object]
Hooks = dict[Any, Hook]

LONGEST = 200
"""Characters of a refusal's text."""
_PLACE = re.compile(r" - at (`key` in )?`\$([^`]*)`$")
_ECHOES = ("Invalid enum value", "Invalid value")
_CONSTRAINTS = ("pydantic", "annotated_types")


class StrOrBytes(ABC):  # noqa: B024 - classes are registered with it
    """Stands for `str | bytes`, which msgspec cannot tell apart in JSON; blobs can."""


StrOrBytes.register(str)
StrOrBytes.register(bytes)


class Validated(ABC):  # noqa: B024 - it says itself who belongs to it
    """Base of the stand-ins for what pydantic validates: msgspec wants an instance from hooks."""

    @classmethod
    def __subclasshook__(cls, subclass: type, /) -> bool:
        """Every value is one; its hook has already looked."""
        return True


class Conversion:
    """One type, and how values become it. Raises TypeError for a type that no message can hold."""

    __slots__ = (
        "choices",
        "hooks",
        "is_whole_only",
        "takes_none",
        "takes_object",
        "takes_text",
        "type",
    )

    def __init__(self, annotation: Any) -> None:
        parts = tuple(leaves(annotation))
        self.hooks: Hooks = {}
        self.type = _prepared(annotation, parts, self.hooks)
        self.choices = _choices(parts)
        self.is_whole_only = self.type is StrOrBytes
        try:
            info = type_info(self.type)
        except NameError as error:
            raise TypeError(
                f"{error}; a type inside it must be known where it is defined"
            ) from error
        for custom in _customs(info, set()):
            if custom not in self.hooks:
                self.hooks[custom] = _hook(custom)
        self.takes_text = any(part in (str, Any) for part in parts)
        self.takes_object = any(map(_is_object, parts))
        self.takes_none = True
        try:
            self._convert(None)
        except ValueError:
            self.takes_none = False

    def convert(self, value: object, name: str) -> object:
        """The value as this type; raises Refused("invalid") naming the field, never the value."""
        try:
            return self._convert(value)
        except (ValueError, RecursionError) as error:
            raise refused(self.told(error, name)) from None

    def from_text(self, text: object, name: str) -> object:
        """A part of an address, or texts of a query, as this type: `"7"` is an int where one is
        wanted.
        """
        try:
            return self._convert(text, strict=False)
        except ValueError as error:
            raise refused(self.told(error, name)) from None

    def told(self, error: Exception, name: str) -> str:
        """What msgspec says, with the field in place of its `$` and without the value."""
        text = str(error)
        place = f"`{name}`"
        if match := _PLACE.search(text):
            text = text[: match.start()]
            place = f"{match[1] or ''}`{name}{match[2]}`"
        for echo in _ECHOES:
            if text.startswith(echo):
                text = (
                    f"Expected one of {self.choices}"
                    if self.choices and place == f"`{name}`"
                    else echo
                )
        return f"{text} - at {place}"

    def _convert(self, value: object, *, strict: bool = True) -> object:
        return msgspec.convert(
            value, self.type, strict=strict, str_keys=True, dec_hook=dec_hook(self.hooks)
        )


def refused(text: str) -> Refused:
    """The refusal of arguments that do not fit, its text cut to what a client needs."""
    return Refused("invalid", text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def dec_hook(hooks: Hooks) -> Callable[[type, Any], Any] | None:
    """The hooks as msgspec wants them; None where there are none."""
    return (lambda kind, value: hooks[kind](value)) if hooks else None


def leaves(annotation: Any) -> Iterator[Any]:
    """The members of a union, of aliases and of `Annotated`, down to plain types; `object` reads as
    Any.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from leaves(get_args(annotation)[0])
    elif origin is Union or origin is types.UnionType:
        for part in get_args(annotation):
            yield from leaves(part)
    elif isinstance(annotation, typing.NewType):
        yield from leaves(annotation.__supertype__)
    elif hasattr(annotation, "__value__"):  # `type X = …` of Python 3.12
        yield from leaves(annotation.__value__)
    else:
        yield Any if annotation is object else annotation


def _prepared(annotation: Any, parts: tuple[Any, ...], hooks: Hooks) -> Any:
    """The annotation as msgspec shall see it: a class of our own where only a hook can read it."""
    if annotation is object:
        return Any
    if len(parts) == 2 and set(parts) == {str, bytes}:
        hooks[StrOrBytes] = _str_or_bytes
        return StrOrBytes
    if any(map(_wants_pydantic, _tree(annotation))):
        validated = types.new_class("Validated", (Validated,))
        hooks[validated] = _pydantic(annotation)
        return validated
    return annotation


def _tree(annotation: Any) -> Iterator[Any]:
    """The annotation and all it is made of, metadata of `Annotated` included."""
    yield annotation
    for part in get_args(annotation):
        yield from _tree(part)


def _wants_pydantic(part: Any) -> bool:
    """Whether this is a pydantic class, or a constraint that only pydantic obeys."""
    if isinstance(part, type):
        return hasattr(part, "__pydantic_validator__")
    return type(part).__module__.partition(".")[0] in _CONSTRAINTS


def _pydantic(annotation: Any) -> Hook:
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:  # constraints of annotated_types, with nobody there to obey them
        raise TypeError(f"the constraints of {annotation} need pydantic; msgspec.Meta does without")
    validate = pydantic.TypeAdapter(annotation).validate_python
    failure = pydantic.ValidationError

    def hook(value: object) -> object:
        try:
            return validate(value)
        except failure as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None

    return hook


def _str_or_bytes(value: object) -> object:
    if isinstance(value, str | bytes):
        return value
    raise ValueError(f"Expected `str | bytes`, got `{type(value).__name__}`")


def _customs(info: Type | msgspec.inspect.Field, seen: set[int]) -> Iterator[Any]:
    """The classes inside a type that msgspec leaves to hooks."""
    if id(info) in seen:
        return
    seen.add(id(info))
    if isinstance(info, RawType | ExtType):
        raise TypeError("msgspec.Raw and Ext differ from wire to wire; take `object`")
    if isinstance(info, CustomType):
        yield info.cls
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Type | msgspec.inspect.Field):
                yield from _customs(part, seen)


def _hook(custom: Any) -> Hook:
    if custom is object:
        return lambda value: value
    if _wants_pydantic(custom):
        return _pydantic(custom)
    raise TypeError(f"{getattr(custom, '__name__', custom)} is no type that a message can hold")


def _is_object(part: Any) -> bool:
    """Whether a JSON object can become this type."""
    kind = get_origin(part) or part
    if kind is Any or typing.is_typeddict(kind):
        return True
    if not isinstance(kind, type):
        return False
    if issubclass(kind, msgspec.Struct):
        return not kind.__struct_config__.array_like
    return (
        dataclasses.is_dataclass(kind)
        or issubclass(kind, Mapping)
        or hasattr(kind, "__pydantic_validator__")
    )


def _choices(parts: tuple[Any, ...]) -> str:
    """The values of a Literal or an Enum, for the text of a refusal."""
    choices: list[object] = []
    for part in parts:
        if get_origin(part) is typing.Literal:
            choices += get_args(part)
        elif isinstance(part, type) and issubclass(part, Enum):
            choices += (member.value for member in part)
    return ", ".join(map(repr, choices))
