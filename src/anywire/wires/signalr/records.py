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

    __slots__ = ("_limits", "_needs", "_rest")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest: bytearray | None = None
        self._needs = 0
        """Bytes that the first message of the rest has, with its length, once that is known."""

    @property
    def waiting(self) -> int:
        """How many bytes came and are no whole message yet."""
        return 0 if self._rest is None else len(self._rest)

    def texts(self, data: bytes) -> Sequence[bytes]:
        """The JSON messages that are whole now. Raises ProtocolError for one that is too large."""
        if SEPARATOR not in data:
            self._keep(data)  # and looks at nothing twice, however small its pieces are
            return ()
        *whole, rest = (self.rest() + data).split(SEPARATOR)
        limit = self._limits.message
        for text in whole:
            if len(text) > limit:
                raise too_large(self._limits)
        self._keep(rest)
        return whole

    def first(self, data: bytes) -> bytes | None:
        """The first JSON message, once it is whole; what is behind it waits for `rest`."""
        if SEPARATOR not in data:
            self._keep(data)
            return None
        text, _, rest = (self.rest() + data).partition(SEPARATOR)
        self._rest = bytearray(rest) if rest else None  # of one frame, which was taken whole
        return text

    def rest(self) -> bytes:
        """What came and was not taken: it is taken now."""
        rest, self._rest = self._rest, None
        return b"" if rest is None else bytes(rest)

    def packed(self, data: bytes) -> Sequence[bytes]:
        """The MessagePack messages that are whole now. Raises ProtocolError for a length that is
        none, or over the limit, before anything of that message has come.
        """
        if self.waiting + len(data) < self._needs:
            self._keep(data)
            return ()
        data = self.rest() + data
        self._needs = 0
        whole: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            size, begin = _varint(data, at)
            if begin == 0:
                break
            if size > self._limits.message:
                raise too_large(self._limits)
            if begin + size > end:
                self._needs = begin + size - at
                break
            whole.append(data[begin : begin + size])
            at = begin + size
        self._keep(data[at:])
        return whole

    def _keep(self, more: bytes) -> None:
        if not more:
            return
        if self.waiting + len(more) > self._limits.message + _VARINT_BYTES:
            raise too_large(self._limits)
        if self._rest is None:
            self._rest = bytearray(more)
        else:
            self._rest += more


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
