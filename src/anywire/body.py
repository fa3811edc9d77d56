"""Body and Args: what the application says and hears, in one canonical form.

Canonical is (`json`, `blobs`): the JSON array of the arguments, in which each bytes value is a slot
known by its *offset in the text*, never by a marker in the band, and the list of those bytes
values. Every other encoding is derived from it, once. So no wire, record or history forgets that
bytes were bytes.

>>> body = Body.of({"name": "a.png", "data": b"\\x89P"})
>>> body.json
b'[{"name":"a.png","data":null}]'
>>> body.blobs
((24, b'\\x89P'),)
>>> body.inline_one
b'{"name":"a.png","data":"iVA="}'
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast

import msgspec

from anywire.payload import Message

T = TypeVar("T")
Blobs = tuple[tuple[int, bytes], ...]
"""(offset into the JSON text, bytes); at each offset stands `null`."""

_BYTES = (bytes, bytearray, memoryview)
_NUL = msgspec.Raw(b"\x00")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_msgpack = msgspec.msgpack.Decoder().decode
_pack = msgspec.msgpack.Encoder().encode


class Body:
    """The arguments of one event, reply or item on the way out; each encoding is made at most once.

    `names` are the field names that `@channel.emits` declares, for wires that carry fields by name.
    An integer past 64 bits goes out as a double. Raises ValueError for what JSON cannot hold: NaN,
    infinities, unknown types.
    """

    __slots__ = ("_blobs", "_forms", "_json", "_values", "lone", "names")

    lone: Message | None
    """The only argument, where it is text or bytes that was not encoded on the way here."""

    def __init__(
        self,
        json: bytes | None,
        blobs: Blobs = (),
        *,
        names: tuple[str, ...] | None = None,
        values: tuple[object, ...] | None = None,
    ) -> None:
        self.lone = None
        self._json = json
        self._values = values
        self._blobs = blobs
        self.names = names
        self._forms: dict[object, object] | None = None

    @classmethod
    def of(cls, *values: object, names: tuple[str, ...] | None = None) -> "Body":
        """The body of these arguments, in order."""
        if len(values) == 1:
            value = values[0]
            if type(value) is bytes or (type(value) is str and _is_unicode(value)):
                body = cls(None, values=values, names=names)  # encoded when asked
                if names is None:
                    body.lone = value  # a raw echo never is
                return body
        json, blobs = encode(values)
        return cls(json, blobs, names=names, values=values)

    @property
    def json(self) -> bytes:
        """The JSON array of the arguments, `null` in each blob's place."""
        if self._json is None:
            self._json, self._blobs = encode(cast(tuple[object, ...], self._values))
        return self._json

    @property
    def blobs(self) -> Blobs:
        """The bytes values, each with its place in `json`."""
        if self._json is None:
            self._json, self._blobs = encode(cast(tuple[object, ...], self._values))
        return self._blobs

    @property
    def values(self) -> tuple[object, ...]:
        """The arguments as plain values (dict, list, str, bytes, numbers, bool, None)."""
        return self.derived("values", lambda body: tuple(decode(body.json, body.blobs)))

    @property
    def count(self) -> int:
        """How many arguments there are."""
        return len(self.values if self._values is None else self._values)

    @property
    def bare(self) -> Message:
        """What a wire without names carries: a lone str or bytes as it is, else JSON text."""
        if self.lone is not None:
            return self.lone
        one, blobs = self.one
        if blobs and one == b"null":
            return blobs[0][1]
        if one[:1] == b'"':
            return cast(str, _decode(one))
        return self.inline_one.decode()

    @property
    def one_value(self) -> object:
        """As `one_of`, but an object when they are named."""
        values = self.values
        if self.is_named:
            return dict(zip(cast(tuple[str, ...], self.names), values, strict=True))
        return one_of(values)

    @property
    def is_named(self) -> bool:
        """Whether wires that carry fields by name get an object made of `names`."""
        return self.names is not None and len(self.names) == self.count

    @property
    def one(self) -> tuple[bytes, Blobs]:
        """Canonical JSON and blobs of `one_value`."""
        return self.derived("one", _one)

    @property
    def inline(self) -> bytes:
        """The JSON array with bytes as base64 text in place."""
        return self.derived("inline", lambda body: inlined(body.json, body.blobs))

    @property
    def inline_one(self) -> bytes:
        """JSON of `one_value` with bytes as base64 text in place."""
        if self.names is None and self._values is not None and len(self._values) == 1:
            json = self.json
            if not self._blobs:
                return json[1:-1]
        return self.derived("inline_one", lambda body: inlined(*body.one))

    @property
    def packed(self) -> bytes:
        """The MessagePack array of the arguments; bytes are bin."""
        return self.derived("packed", lambda body: _pack(body.values))

    @property
    def packed_one(self) -> bytes:
        """MessagePack of `one_value`."""
        return self.derived("packed_one", lambda body: _pack(body.one_value))

    def body(self) -> "Body":
        """These themselves: for whoever has either this or `Args`."""
        return self

    def derived(self, key: object, make: "Callable[[Body], T]") -> T:
        """A form of a wire's own, made by `make` once per body."""
        forms = self._forms
        if forms is None:
            forms = self._forms = {}
        elif key in forms:
            return cast(T, forms[key])
        form = forms[key] = make(self)
        return form


class Form(Enum):
    """How the raw arguments of a peer are written."""

    JSON = "json"
    MSGPACK = "msgpack"
    TEXT = "text"
    BYTES = "bytes"
    QUERY = "query"


class Shape(Enum):
    """Whether a peer passed a list of arguments or one value."""

    LIST = "list"
    ONE = "one"


class Args:
    """Arguments as a peer wrote them; the binder reads them, straight into the handler's types.

    `raw`: JSON or MessagePack text of the array (LIST) or the value (ONE); for TEXT and BYTES the
    message itself; for QUERY the JSON of an object of texts, which are read as what is wanted.
    """

    __slots__ = ("blobs", "form", "raw", "shape")

    def __init__(
        self,
        raw: Message | msgspec.Raw,
        form: Form = Form.JSON,
        shape: Shape = Shape.ONE,
        blobs: Blobs = (),
    ) -> None:
        self.raw = raw
        self.form = form
        self.shape = shape
        self.blobs = blobs

    def values(self) -> Sequence[object]:
        """The arguments as plain values. Raises ValueError where they are not what `form` says."""
        one = self.value()
        if self.shape is Shape.ONE:
            return (one,)
        if not isinstance(one, list):
            raise ValueError("arguments must be a list")
        return one

    @property
    def one_value(self) -> object:
        """The arguments as `one_of` them. Raises ValueError."""
        return self.value() if self.shape is Shape.ONE else one_of(self.values())

    def value(self) -> object:
        """`raw` as one plain value, bytes in their places. Raises ValueError."""
        raw = self.raw
        if self.form is Form.JSON or self.form is Form.QUERY:
            return decode(raw, self.blobs)
        if self.form is Form.MSGPACK:
            value = _unpack(raw)
            check_plain(value)
            return value
        return raw

    def body(self) -> Body:
        """The same arguments on the way out, as a relay sends them. Raises ValueError."""
        return Body.of(*self.values())


def one_of(values: Sequence[object]) -> object:
    """Arguments as one value: the lone one, None for none, else a list."""
    return values[0] if len(values) == 1 else list(values) if values else None


NO_ARGS = Args(b"[]", Form.JSON, Shape.LIST)
NO_BODY = Body(b"[]", values=())


def encode(values: Sequence[object]) -> tuple[bytes, Blobs]:
    """Canonical JSON and blobs of a list of values. Raises ValueError for what JSON cannot hold."""
    try:
        if all(map(_is_simple, values)):
            return _encode(values), ()
        blobs: list[bytes] = []
        text = _encode([_slotted(_builtins(value), blobs) for value in values])
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"cannot be sent as JSON: {error}") from error
    if not blobs:
        return text, ()
    parts = text.split(b"\x00")
    slots = []
    offset = 0
    for part, blob in zip(parts, blobs, strict=False):  # one part more than blobs: the tail
        offset += len(part)
        slots.append((offset, blob))
        offset += len(b"null")
    return b"null".join(parts), tuple(slots)


def decode(raw: Message | msgspec.Raw, blobs: Blobs = ()) -> Any:
    """The plain value of a JSON text, bytes put into their slots. Raises ValueError."""
    try:
        if not blobs:
            return _decode(raw)
        text = raw.encode() if isinstance(raw, str) else bytes(raw)
        # A stand-in that the text cannot contain: nobody can write a text's hash into it.
        mark = hashlib.blake2b(text, digest_size=12).hexdigest()
        pieces = spliced(text, blobs, lambda index: f'"{mark}{index}"'.encode())
        found: set[int] = set()
        value = _filled(_decode(pieces), mark, blobs, found)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    if len(found) != len(blobs):
        raise ValueError("a blob has no place in its text")  # its key stands twice in one object
    return value


def inlined(json: bytes, blobs: Blobs) -> bytes:
    """The JSON text with each blob as base64 text in its place."""
    if not blobs:
        return json
    return spliced(json, blobs, lambda index: b'"' + base64.b64encode(blobs[index][1]) + b'"')


def _unpack(raw: Message | msgspec.Raw) -> Any:
    try:
        return _decode_msgpack(cast(bytes, raw))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not valid MessagePack: {error}") from error


def check_plain(value: object, path: str = "arguments") -> None:
    """Raise ValueError, naming the field, for decoded MessagePack that JSON could not hold. It has
    times of its own (a timestamp), which go out as text.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path}: the key {key!r:.40} is not a string")
            check_plain(item, f"{path}.{key:.40}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_plain(item, f"{path}[{index}]")
    elif isinstance(value, float):
        if value - value != 0.0:
            raise ValueError(f"{path}: {value} has no place in JSON")
    elif not isinstance(value, _PLAIN):
        raise ValueError(f"{path}: {type(value).__name__} has no place in JSON")


def _one(body: Body) -> tuple[bytes, Blobs]:
    if body.is_named:
        json, blobs = encode((body.one_value,))
    else:
        json, blobs = body.json, body.blobs
        count = body.count
        if count == 0:
            return b"null", ()
        if count > 1:
            return json, blobs
    return json[1:-1], tuple((offset - 1, blob) for offset, blob in blobs) if blobs else blobs


_SCALARS = frozenset((str, bool, type(None)))
_LEAST, _MOST = -(2**63), 2**64 - 1  # what MessagePack and 64-bit peers hold
_PLAIN = (str, int, bool, type(None), bytes, datetime)


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8; a lone surrogate cannot."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


def _is_simple(value: object) -> bool:
    """Whether msgspec writes this value as it must be: no bytes, no NaN, no foreign types."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is int:
        return _LEAST <= value <= _MOST  # type: ignore[operator]
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not _is_simple(item):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_is_simple, value))  # type: ignore[call-overload]
    return kind is float and value - value == 0.0  # type: ignore[operator]


def _builtins(value: object) -> object:
    return msgspec.to_builtins(value, builtin_types=_BYTES, str_keys=True, enc_hook=_foreign)


def _foreign(value: object) -> object:
    """Pydantic models (all that has `model_dump`), kinds of str, int and float as plain values."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} is no type that JSON or msgspec knows")
    return dump(mode="python")


def _slotted(value: Any, blobs: list[bytes]) -> object:
    """A copy with each bytes value taken out into `blobs`; in its place a NUL, never in JSON."""
    if isinstance(value, dict):
        return {key: _slotted(item, blobs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_slotted(item, blobs) for item in value]
    if isinstance(value, _BYTES):
        blobs.append(bytes(value))
        return _NUL
    if isinstance(value, float) and value - value != 0.0:
        raise ValueError(f"{value} has no place in JSON")
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        return float(value)  # a double, as which JavaScript had it and takes it (RFC 8259, 6)
    return value


def spliced(json: bytes, blobs: Blobs, form: Callable[[int], bytes]) -> bytes:
    """The JSON text with `form(index)` in the place of each blob."""
    pieces: list[bytes] = []
    start = 0
    for index, (offset, _) in enumerate(blobs):
        pieces += (json[start:offset], form(index))
        start = offset + len(b"null")
    pieces.append(json[start:])
    return b"".join(pieces)


def _filled(value: Any, mark: str, blobs: Blobs, found: set[int]) -> object:
    if isinstance(value, dict):
        return {key: _filled(item, mark, blobs, found) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, mark, blobs, found) for item in value]
    if isinstance(value, str) and value.startswith(mark):
        index = int(value[len(mark) :])
        found.add(index)
        return blobs[index][1]
    return value
