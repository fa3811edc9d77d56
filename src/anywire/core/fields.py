"""Fields: the arguments of a message, as whoever wrote them, into one row of typed values.

Arguments come as a list, filled in by position, or as one value: an object all of whose keys are
fields is matched by name, any other value is the first argument. A function that is `is_whole`
takes the one value as it is.

Two ways that give the same: msgspec decodes JSON straight into the types; where that fails, and for
all that is not JSON text alone, plain values are sorted and converted one by one, which also knows
what to tell the client.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, cast

import msgspec
from msgspec.structs import astuple

from anywire.body import Args, Form, Shape, decode
from anywire.core.conversion import Conversion, Hooks, StrOrBytes, dec_hook, refused
from anywire.errors import Refused
from anywire.nesting import is_too_deep_json

REQUIRED: Any = msgspec.NODEFAULT
Row = tuple[Any, ...]
_Reader = Callable[[Any], Row]
_Convert = Callable[[Conversion, object, str], object]
_JSON, _MSGPACK, _TEXT, _BYTES = Form.JSON, Form.MSGPACK, Form.TEXT, Form.BYTES
_QUERY = Form.QUERY
_LIST = Shape.LIST
_MAY_OPEN_OBJECT = frozenset("{ \t\r\n") | frozenset((b"{", b" ", b"\t", b"\r", b"\n"))


@dataclass(slots=True, frozen=True)
class Field:
    """One parameter that the payload fills."""

    name: str
    conversion: Conversion
    default: Any = REQUIRED
    by_name_only: bool = False


@dataclass(slots=True, frozen=True)
class Taken:
    """What a payload gave: the fields in their order, the arguments past them, the keys beside
    them.
    """

    row: Row
    rest: Row = ()
    others: Mapping[str, object] = attribute(default_factory=dict)


class Fields:
    """What one function takes from a payload.

    `usage` is the function as a client may see it; `path` the names that the address fills,
    `reserved` those that something else does; `rest` and `others` the types of `*args` and
    `**fields`.
    """

    __slots__ = (
        "_by_name",
        "_count",
        "_first",
        "_from_list",
        "_from_one",
        "_holds_json",
        "_is_whole",
        "_names",
        "_nesting",
        "_others",
        "_path",
        "_reserved",
        "_rest",
        "_tail",
        "_takes_bytes",
        "_takes_text",
        "_usage",
        "fields",
    )

    def __init__(
        self,
        fields: Sequence[Field],
        *,
        usage: str,
        nesting: int,
        is_whole: bool = False,
        path: frozenset[str] = frozenset(),
        reserved: frozenset[str] = frozenset(),
        rest: Conversion | None = None,
        others: Conversion | None = None,
    ) -> None:
        self.fields = tuple(sorted(fields, key=lambda field: field.by_name_only))
        self._by_name = {field.name: field for field in self.fields}
        self._usage = usage
        self._nesting = nesting
        self._is_whole = is_whole
        self._path = path
        self._reserved = reserved
        self._rest = rest
        self._others = others
        self._names = path.union(self._by_name)
        positional = [field for field in self.fields if is_whole or not field.by_name_only]
        self._count = len(positional)
        self._first = positional[0].conversion if positional else rest
        self._plan()

    def _plan(self) -> None:
        """Build the decoders once; None stands where only the slow way can tell."""
        hooks: Hooks = {}
        for field in self.fields:
            hooks |= field.conversion.hooks
        hook = dec_hook(hooks)
        self._tail: Row | None = None
        self._from_one: _Reader | None = None
        self._from_list: _Reader | None = None
        if self._count == len(self.fields):
            self._from_list = _reader(self.fields, hook, array_like=True)
        kind = None
        tail = tuple(field.default for field in self.fields[1:])
        if self._count and all(default is not REQUIRED for default in tail):
            self._tail = tail
            kind = self.fields[0].conversion.type
        self._takes_text = kind in (str, Any, StrOrBytes)
        self._takes_bytes = kind in (bytes, Any, StrOrBytes)
        self._holds_json = self._is_whole and not self.fields[0].conversion.takes_text
        if self._is_whole:
            whole = msgspec.json.Decoder(kind, dec_hook=hook).decode
            self._from_one = lambda raw: (whole(raw),)
        elif self.fields:
            self._from_one = self._field_reader(hook, kind)

    def _field_reader(self, hook: Any, kind: Any) -> _Reader:
        """Reads one value as an object of fields or, if the others may be left out, the first."""
        from_object = _reader(self.fields, hook, array_like=False)
        if self._tail is None:
            return from_object
        first = msgspec.json.Decoder(kind, dec_hook=hook).decode
        tail = self._tail

        def read(raw: Any) -> Row:
            start = (bytes(raw) if type(raw) is msgspec.Raw else raw)[:1]
            return from_object(raw) if start in _MAY_OPEN_OBJECT else (first(raw), *tail)

        return read

    def read(self, args: Args, path: Mapping[str, str]) -> Row:  # HOT
        """The fields' values in order; for functions without `*args` and `**fields`. Raises
        Refused.
        """
        form = args.form
        try:
            if form is _JSON:
                if not args.blobs:
                    reader = self._from_list if args.shape is _LIST else self._from_one
                    if reader is not None:
                        return reader(args.raw)
            elif form is _TEXT:
                if self._takes_text:
                    return args.raw, *self._tail  # type: ignore[misc]
                if self._holds_json and not is_too_deep_json(cast(str, args.raw), self._nesting):
                    return cast(_Reader, self._from_one)(args.raw)
            elif form is _BYTES and self._takes_bytes:
                return args.raw, *self._tail  # type: ignore[misc]
        except (ValueError, RecursionError):
            pass  # the slow way finds the same and says what is wrong
        return self.read_all(args, path).row

    def read_all(self, args: Args, path: Mapping[str, str]) -> Taken:
        """All that a payload gives, for functions that take more than fields. Raises Refused."""
        form = args.form
        is_list = args.shape is _LIST and form in (_JSON, _MSGPACK)
        try:
            value = args.values() if is_list else self._value(args)
        except ValueError as error:
            raise refused(str(error)) from None
        if is_list:
            return self._from_values(cast(Sequence[object], value), path)
        first = self._first
        convert = Conversion.from_text if form is _QUERY else Conversion.convert
        if value is None and not (first is not None and first.takes_none):
            return self._by_position(())
        if isinstance(value, dict) and not self._is_whole:
            if self._is_by_name(value):
                return self._from_names(value, path, convert)
            if first is None or not first.takes_object:
                unknown = next(name for name in value if name not in self._names)
                raise refused(f"unknown field `{unknown:.40}`: {self._usage}")
        return self._by_position((value,), convert)

    def _from_values(self, values: Sequence[object], path: Mapping[str, str]) -> Taken:
        """By position; a lone object that does not fit so may hold the fields by name, as clients
        write that have a list of arguments on every wire.
        """
        try:
            return self._by_position(values)
        except Refused:
            lone = values[0] if len(values) == 1 and not self._is_whole else None
            if isinstance(lone, dict) and self._is_by_name(lone):
                return self._from_names(lone, path)
            raise

    def _value(self, args: Args) -> object:
        """The one value; text is itself where a str is wanted and where it is no JSON."""
        raw = args.raw
        if args.form is not _TEXT or (self._first is not None and self._first.takes_text):
            return args.value()
        if is_too_deep_json(cast(str, raw), self._nesting):
            raise ValueError(f"nested deeper than {self._nesting}")
        try:
            return decode(raw)
        except ValueError:
            return raw

    def _is_by_name(self, value: dict[str, object]) -> bool:
        """Whether a lone object holds fields rather than being the first argument."""
        if self._others is not None:
            return True
        if not self.fields and self._rest is not None:
            return False
        if not value and self.fields:
            first = self.fields[0]
            return first.default is not REQUIRED or not first.conversion.takes_object
        return self._names.issuperset(value)

    def _from_names(
        self,
        value: dict[str, object],
        path: Mapping[str, str],
        convert: _Convert = Conversion.convert,
    ) -> Taken:
        others = {}
        for name, item in value.items():
            if name in self._by_name:
                continue
            if (
                name in self._path
            ):  # the address says it: the same again is harmless, another is a forgery
                if str(item) != path.get(name):
                    raise refused(f"`{name}` comes from the address and cannot be another")
            elif name in self._reserved:
                raise refused(f"`{name:.40}` is no field: {self._usage}")
            else:
                others[name] = convert(cast(Conversion, self._others), item, name)
        row = [
            convert(field.conversion, value[field.name], field.name)
            if field.name in value
            else self._default(field)
            for field in self.fields
        ]
        return Taken(tuple(row), (), others)

    def _by_position(
        self, values: Sequence[object], convert: _Convert = Conversion.convert
    ) -> Taken:
        count = self._count
        if len(values) > count and self._rest is None:
            raise refused(f"{len(values)} arguments where {count} fit: {self._usage}")
        row = [
            convert(field.conversion, values[index], field.name)
            if index < len(values) and index < count
            else self._default(field)
            for index, field in enumerate(self.fields)
        ]
        rest = [
            convert(cast(Conversion, self._rest), value, f"arguments[{index}]")
            for index, value in enumerate(values[count:], count)
        ]
        return Taken(tuple(row), tuple(rest))

    def _default(self, field: Field) -> object:
        if field.default is REQUIRED:
            raise refused(f"`{field.name}` is missing: {self._usage}")
        return field.default


def _reader(fields: Sequence[Field], hook: Any, *, array_like: bool) -> _Reader:
    """A decoder of JSON that has the fields in a list or by name; it refuses more and fewer."""
    if array_like and all(field.default is REQUIRED for field in fields):
        kinds = tuple(field.conversion.type for field in fields)
        return msgspec.json.Decoder(tuple[kinds], dec_hook=hook).decode  # type: ignore[valid-type]
    kind = msgspec.defstruct(
        "Fields",
        [(field.name, field.conversion.type, _struct_field(field.default)) for field in fields],
        array_like=array_like,
        forbid_unknown_fields=True,
        kw_only=True,
    )
    decode_struct = msgspec.json.Decoder(kind, dec_hook=hook).decode
    return lambda raw: astuple(decode_struct(raw))


def _struct_field(default: Any) -> Any:
    return (
        msgspec.field() if default is REQUIRED else msgspec.field(default_factory=lambda: default)
    )
