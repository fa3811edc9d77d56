"""One WebSocket connection (RFC 6455) after its handshake: bytes in, events out. HOT

The same class is a server's end and a client's. It is pure: it writes through a callable, draws its
masks from another, and owns no task, no timer and, while idle, no buffer. Budget: 1.2 µs per
message of 128 bytes read.
"""

import codecs
from collections.abc import Callable, Sequence

from anywire.errors import ProtocolError
from anywire.net.deflate import SMALLEST, Deflater, Inflater, PerMessageDeflate, deflate_alone
from anywire.net.rfc6455 import (
    BINARY,
    CLOSE,
    DEFLATED,
    FIN,
    LARGEST_CONTROL,
    MASKED,
    PING,
    PLAIN,
    PONG,
    REPEAT,
    RSV1,
    TEXT,
    Close,
    Event,
    Ping,
    Pong,
    State,
    apply_mask,
    check_head,
    header,
    pack_close,
    read_close,
)
from anywire.payload import UNFRAMED, Framing, Payload

__all__ = ["Close", "Connection", "Event", "Ping", "Pong", "State"]

OPEN, CLOSING, CLOSED = State.OPEN, State.CLOSING, State.CLOSED
_WHOLE_TEXT, _WHOLE_BINARY = FIN | TEXT, FIN | BINARY
_utf8 = codecs.getincrementaldecoder("utf-8")
_from_bytes = int.from_bytes
_LARGEST_SMALL = len(REPEAT) - 1 << 2


class _Fragments:
    """A message of which not all frames are here."""

    __slots__ = ("count", "decoder", "inflater", "parts", "read", "size")

    def __init__(self, *, is_text: bool, inflater: Inflater | None) -> None:
        self.decoder = _utf8() if is_text else None
        self.inflater = inflater
        self.parts: list[str] | list[bytes] = []
        self.count = 0
        self.read = 0  # bytes of payload in frames
        self.size = 0  # bytes of content, inflated


class Connection:
    """One WebSocket connection; call `receive` with what arrives and `eof` at its end.

    Nothing it reads makes it raise: a broken rule is answered with the right close frame and told
    as `Close`. `max_size` bounds a whole message in bytes, after inflating, `max_fragments` its
    frames. A client must give `mask`: 4 fresh, unpredictable bytes a call (RFC 6455, 10.3).

    Invariants: `_tail` is None or the begin of a frame that is not whole, and nothing is parsed
    before `_need` bytes of it are here; `_fragments` is None between messages; once CLOSED, nothing
    is read or written.
    """

    __slots__ = (
        "_deflate",
        "_deflater",
        "_fragments",
        "_inflater",
        "_mask",
        "_masked",
        "_max_fragments",
        "_max_size",
        "_need",
        "_pongs",
        "_small",
        "_tail",
        "_write",
        "framing",
        "state",
    )

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        client: bool = False,
        max_size: int = 65536,
        max_fragments: int = 1024,
        deflate: PerMessageDeflate | None = None,
        mask: Callable[[], bytes] | None = None,
    ) -> None:
        if client and mask is None:
            raise ValueError("a client masks what it sends: pass mask=")
        self._write = write
        self._masked = 0 if client else MASKED  # the bit in frames of the peer
        self._small = min(max_size, _LARGEST_SMALL)
        self._max_size = max_size
        self._max_fragments = max_fragments
        self._deflate = deflate
        self._mask = mask if client else None
        self._deflater: Deflater | None = None
        self._inflater: Inflater | None = None
        self._fragments: _Fragments | None = None
        self._tail: bytearray | None = None
        self._need = 0
        self._pongs: list[bytes] | None = None
        self.state = OPEN
        self.framing: Framing = PLAIN
        if client or (deflate is not None and deflate.keep_sent):
            self.framing = UNFRAMED
        elif deflate is not None and deflate.send_bits:
            self.framing = DEFLATED[deflate.send_bits]

    def receive(self, data: bytes) -> Sequence[Event]:
        """Read what arrived, in pieces of any size; returns what happened, in order.

        The pongs for all pings in one piece are written as one, so a flood of them is cheap.
        """
        if self.state is CLOSED:
            return ()
        tail = self._tail
        if tail is not None:
            tail += data
            if len(tail) < self._need:
                return ()
            data = bytes(tail)
            self._tail = None
        events: list[Event] = []
        at = 0
        end = len(data)
        # A whole small message is read right here; all else, and every broken rule, is the matter
        # of _step. A second byte of the wrong masking ends up at 128 or more and so goes there too.
        masked = self._masked
        limit = self._small
        try:
            while end - at >= 2:
                first = data[at]
                if (first == _WHOLE_TEXT or first == _WHOLE_BINARY) and self._fragments is None:
                    size = data[at + 1] ^ masked
                    begin = at + 2
                    if size == 126 and end - at >= 4:
                        size = data[begin] << 8 | data[at + 3]
                        begin = at + 4
                    elif size >= 126:
                        size = limit + 1
                    if size <= limit:
                        key = begin
                        if masked:
                            begin += 4
                        stop = begin + size
                        if stop > end:
                            self._need = stop - at
                            break
                        content = data[begin:stop]
                        if masked:
                            words = size + 3 >> 2
                            content = (
                                _from_bytes(content, "little")
                                ^ _from_bytes(data[key:begin], "little") * REPEAT[words]
                            ).to_bytes(words << 2, "little")[:size]
                        events.append(content.decode() if first == _WHOLE_TEXT else content)
                        at = stop
                        continue
                after = self._step(data, at, events)
                if after < 0:
                    break
                at = after
            else:
                self._need = 2
        except ProtocolError as error:
            self._fail(error.code, error.reason, events)
        except UnicodeDecodeError:
            self._fail(1007, "the text is not UTF-8", events)
        if self._pongs is not None:
            self._settle()
        if at < end and self.state is not CLOSED:
            self._tail = bytearray(data[at:])
        return events

    def eof(self) -> Sequence[Event]:
        """The peer is gone, or the network is: Close 1006, unless the close handshake was done."""
        if self.state is CLOSED:
            return ()
        by_peer = self.state is OPEN
        self._end()
        return (Close(1006, by_peer=by_peer),)

    def send(self, message: str | bytes) -> None:
        """Send one message; nothing once the connection is closing."""
        if self.state is OPEN:
            if isinstance(message, str):
                self._write(self._message(TEXT, message.encode()))
            else:
                self._write(self._message(BINARY, message))

    def frame(self, payload: Payload) -> bytes:
        """The payload and what travels with it in this connection's own form (mask, kept window).

        Where a window is kept, what this returns must be written, in the order of the calls.
        """
        framed = self._message(TEXT if payload.is_text else BINARY, payload.data)
        if payload.rest:
            return framed + b"".join([self.frame(part) for part in payload.rest])
        return framed

    def write_framed(self, frames: Sequence[bytes]) -> None:
        """Write frames of `framing` or `frame` as one; nothing once the connection is closing."""
        if self.state is OPEN:
            self._write(frames[0] if len(frames) == 1 else b"".join(frames))

    def ping(self, data: bytes = b"") -> None:
        """Send a ping of at most 125 bytes; nothing once the connection is closing."""
        self._probe(PING, data)

    def pong(self, data: bytes = b"") -> None:
        """Send a pong nobody asked for, of at most 125 bytes (RFC 6455, 5.5.3)."""
        self._probe(PONG, data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the close handshake; does nothing when it has begun.

        Raises ValueError for a code that may not be sent or a reason over 123 bytes of UTF-8.
        """
        payload = pack_close(code, reason)
        if self.state is OPEN:
            self._write(self._frame(FIN | CLOSE, payload))
            self.state = CLOSING

    def _step(self, data: bytes, at: int, events: list[Event]) -> int:
        """Read any frame; returns where the next one begins, or -1 when this one is not whole."""
        here = len(data) - at
        first, second = data[at], data[at + 1]
        opcode = first & 0x0F
        check_head(
            first,
            second,
            from_client=self._masked != 0,
            is_inside=self._fragments is not None,
            can_inflate=self._deflate is not None,
        )
        size, begin = second & 0x7F, 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            if here < begin:
                self._need = begin
                return -1
            size = int.from_bytes(data[at + 2 : at + begin], "big")
            if size >> 63:
                raise ProtocolError("a 64-bit length has its first bit set")  # RFC 6455, 5.2
        if opcode < CLOSE:
            self._check_size(size, is_packed=bool(first & RSV1))
        if self._masked:
            begin += 4
        if here < begin + size:
            self._need = begin + size
            return -1
        begin += at
        after = begin + size
        content = data[begin:after]
        if self._masked:
            content = apply_mask(content, data[begin - 4 : begin])
        if opcode < CLOSE:
            self._data(first, content, events)
        elif opcode == PING:
            self._answer(content)
            events.append(Ping(content))
        elif opcode == PONG:
            events.append(Pong(content))
        else:
            self._closed(content, events)
            return -1
        return after

    def _check_size(self, size: int, *, is_packed: bool) -> None:
        """Refuse a message by its frame's header, before the payload is here."""
        limit = self._max_size
        fragments = self._fragments
        if fragments is not None:
            size += fragments.read
            is_packed = fragments.inflater is not None
            if fragments.count >= self._max_fragments:
                raise ProtocolError("the message has too many fragments", code=1009)
        if is_packed:
            # What cannot be compressed grows, an eighth at most; inflating has its own bound.
            limit += (limit >> 3) + 64
        if size > limit:
            raise ProtocolError(f"a message has at most {self._max_size} bytes", code=1009)

    def _data(self, first: int, content: bytes, events: list[Event]) -> None:
        """Take the payload of a data frame, checked as far as it goes."""
        is_last, fragments = bool(first & FIN), self._fragments
        if fragments is None:
            if first == _WHOLE_TEXT or first == _WHOLE_BINARY:
                events.append(content.decode() if first == _WHOLE_TEXT else content)
                return
            inflater = self._start_inflating() if first & RSV1 else None
            fragments = _Fragments(is_text=first & 0x0F == TEXT, inflater=inflater)
            if not is_last:
                self._fragments = fragments
        fragments.count += 1
        fragments.read += len(content)
        if fragments.inflater is not None:
            limit = self._max_size - fragments.size
            content = fragments.inflater.inflate(content, limit=limit, is_last=is_last)
            fragments.size += len(content)
        part: str | bytes = content
        if fragments.decoder is not None:
            part = fragments.decoder.decode(content, is_last)
            # The decoder would wait for a third byte of what can only be a surrogate.
            if b"\xed\x9f" < fragments.decoder.getstate()[0] < b"\xee":
                raise ProtocolError("the text is not UTF-8", code=1007)
        if fragments.count == 1 and is_last:
            events.append(part)
            return
        fragments.parts.append(part)  # type: ignore[arg-type]
        if is_last:
            self._fragments = None
            empty = b"" if fragments.decoder is None else ""
            events.append(empty.join(fragments.parts))  # type: ignore[arg-type]

    def _start_inflating(self) -> Inflater:
        agreed = self._deflate
        assert agreed is not None  # check_head lets no compressed frame pass without it
        if not agreed.keep_received:
            return Inflater(agreed.receive_bits, keep=False)
        if self._inflater is None:
            self._inflater = Inflater(agreed.receive_bits, keep=True)
        return self._inflater

    def _closed(self, content: bytes, events: list[Event]) -> None:
        """The peer's close frame: answer it with its own code, unless it is the answer to ours."""
        code, reason = read_close(content)
        self._settle()
        by_peer = self.state is OPEN
        if by_peer:
            self._write(self._frame(FIN | CLOSE, content[:2]))
        self._end()
        events.append(Close(code, reason, clean=True, by_peer=by_peer))

    def _fail(self, code: int, reason: str, events: list[Event]) -> None:
        """Fail the connection (RFC 6455, 7.1.7)."""
        self._settle()
        if self.state is OPEN:
            self._write(self._frame(FIN | CLOSE, pack_close(code, reason)))
        self._end()
        events.append(Close(code, reason))

    def _answer(self, data: bytes) -> None:
        """Have a pong written once the piece is read."""
        if self.state is OPEN:
            if self._pongs is None:
                self._pongs = []
            self._pongs.append(self._frame(FIN | PONG, data))

    def _settle(self) -> None:
        """Write the pongs that are due."""
        if self._pongs is not None:
            self._write(b"".join(self._pongs))
            self._pongs = None

    def _end(self) -> None:
        self.state = CLOSED
        self._tail = None
        self._fragments = None
        self._inflater = None
        self._deflater = None

    def _probe(self, opcode: int, data: bytes) -> None:
        if len(data) > LARGEST_CONTROL:
            raise ValueError(f"a ping or pong has at most 125 bytes, not {len(data)}")
        if self.state is OPEN:
            self._write(self._frame(FIN | opcode, data))

    def _message(self, opcode: int, data: bytes) -> bytes:
        """A whole data frame, compressed where that was agreed and helps."""
        agreed = self._deflate
        if agreed is not None and agreed.send_bits and len(data) >= SMALLEST:
            if agreed.keep_sent:
                if self._deflater is None:
                    self._deflater = Deflater(agreed.send_bits)
                packed: bytes | None = self._deflater.deflate(data)
            else:
                packed = deflate_alone(data, agreed.send_bits)
            if packed is not None:
                return self._frame(FIN | RSV1 | opcode, packed)
        return self._frame(FIN | opcode, data)

    def _frame(self, first: int, data: bytes) -> bytes:
        if self._mask is None:
            return header(first, len(data)) + data
        mask = self._mask()
        return header(first, len(data), MASKED) + mask + apply_mask(data, mask)
