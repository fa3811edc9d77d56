"""Records: where one message ends and the next begins, in a stream of bytes.

SignalR HubProtocol: a JSON message ends with U+001E, a MessagePack message begins with its length
as a VarInt. Frames of the carrier mean nothing: one may hold several messages, or part of one.
"""

from collections.abc import Sequence

from anywire.errors import ProtocolError
from anywire.limits import Limits

SEPARATOR = b"\x1e"
_VARINT_BYTES = 5
"""A length has at most 31 bits."""


def too_large(limits: Limits) -> ProtocolError:
    """The error for a message that is over the limit."""
    return ProtocolError(f"a message has at most {limits.message} bytes", code=1009)


class Records:
    """What came and is no whole message yet; at most `Limits.message` bytes of it."""

    __slots__ = ("_limits", "_rest")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest = b""

    def texts(self, data: bytes) -> Sequence[bytes]:
        """The JSON messages that are whole now. Raises ProtocolError for one that is too large."""
        *whole, rest = (self._rest + data if self._rest else data).split(SEPARATOR)
        limit = self._limits.message
        for text in whole:
            if len(text) > limit:
                raise too_large(self._limits)
        self._keep(rest)
        return whole

    def first(self, data: bytes) -> bytes | None:
        """The first JSON message, once it is whole; what is behind it waits for `rest`."""
        text, separator, rest = (self._rest + data).partition(SEPARATOR)
        if not separator:
            self._keep(text)
            return None
        self._rest = rest  # of one frame, which was taken whole
        return text

    def rest(self) -> bytes:
        """What was behind the first one."""
        rest, self._rest = self._rest, b""
        return rest

    def packed(self, data: bytes) -> Sequence[bytes]:
        """The MessagePack messages that are whole now. Raises ProtocolError for a length that is
        none, or over the limit, before anything of that message has come.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        whole: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            size, begin = _varint(data, at)
            if begin == 0:
                break
            if size > self._limits.message:
                raise too_large(self._limits)
            if begin + size > end:
                break
            whole.append(data[begin : begin + size])
            at = begin + size
        self._keep(data[at:])
        return whole

    def _keep(self, rest: bytes) -> None:
        if len(rest) > self._limits.message + _VARINT_BYTES:
            raise too_large(self._limits)
        self._rest = rest


def framed(data: bytes) -> bytes:
    """A MessagePack message behind its length."""
    size = len(data)
    if size < 0x80:
        return b"%c%b" % (size, data)
    head = bytearray()
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The length that begins there, and where its message does; 0: it is not whole yet."""
    size = 0
    for index, byte in enumerate(data[at : at + _VARINT_BYTES]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return size, at + index + 1
    if len(data) - at >= _VARINT_BYTES:
        raise ProtocolError("the length of a message has at most 5 bytes", code=4400)
    return 0, 0
