"""What workers and their hub say to each other: length-prefixed MessagePack, each word typed.

A frame is four bytes of length (big-endian) and one of these words. Whatever is not one of them,
or is too long, ends the connection.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from anywire.brokers.base import Keep, Question
from anywire.errors import ProtocolError
from anywire.frames import Since

VERSION = 1
GREETING = 64 * 1024
"""Bytes of the first word of a worker: until it is read, the hub does not know who says it."""
LONGEST = 64 * 1024 * 1024
"""Bytes of one frame. The longest are histories: `Limits.replay` records of `Limits.message`."""
_PREFIX = 4


class _Word(msgspec.Struct, array_like=True, tag=True):
    """One word; its class is written by name."""


class _Request(_Word):
    """A word of a worker that is answered with `Done` or `Failed` under its ref."""

    ref: int


class Greeting(_Word):
    """The first word of a worker: who it is, where its door is, and that it may come in."""

    version: int
    key: bytes
    node: str
    door: str


class Subscribe(_Request):
    room: str


class Unsubscribe(_Request):
    room: str


class Publish(_Request):
    record: bytes
    keep: Keep | None


class Read(_Request):
    """`History.since`."""

    room: str
    since: Since
    limit: int


class Enter(_Request):
    """`PresenceStore.enter`; `quiet`: a hub died, and this was known to everybody."""

    room: str
    node: str
    key: str
    member: str
    meta: bytes
    lease: float
    keep: Keep | None
    quiet: bool = False


class Exit(_Request):
    room: str
    node: str
    key: str
    member: str
    keep: Keep | None


class Renew(_Request):
    node: str
    lease: float


class List(_Request):
    room: str


class Claim(_Request):
    mount: str
    id: str
    owner: str
    identity: str
    lease: float


class Owner(_Request):
    mount: str
    id: str


class Release(_Request):
    mount: str
    id: str


class Ask(_Request):
    nodes: Sequence[str] | None
    question: Question
    timeout: float


class Answer(_Word):
    """A worker's answer to `Asked`; `failed`: it had none."""

    ref: int
    value: Any = None
    failed: bool = False


class Welcome(_Word):
    """The first word of a hub. `hub` is another one after each take-over."""

    version: int
    key: bytes
    hub: str
    nodes: Mapping[str, str]


class Doors(_Word):
    """Workers have come or gone: all that are here, and where each has its door."""

    nodes: Mapping[str, str]


class Done(_Word):
    """The answer to a request, as the request's kind has it."""

    ref: int
    value: msgspec.Raw


class Failed(_Word):
    """The request was refused."""

    ref: int
    code: str
    text: str


class Deliver(_Word):
    """A record of a room that this worker subscribed."""

    record: bytes


class Asked(_Word):
    """Another worker (or this one) asks."""

    ref: int
    question: Question


Request = (
    Subscribe
    | Unsubscribe
    | Publish
    | Read
    | Enter
    | Exit
    | Renew
    | List
    | Claim
    | Owner
    | Release
    | Ask
)
FromWorker = Greeting | Answer | Request
FromHub = Welcome | Doors | Done | Failed | Deliver | Asked

_pack = msgspec.msgpack.Encoder().encode
from_worker = msgspec.msgpack.Decoder(FromWorker).decode
from_hub = msgspec.msgpack.Decoder(FromHub).decode


def frame(word: msgspec.Struct) -> bytes:
    """A word as it travels. Raises ValueError for one that is too long, TypeError for values that
    cannot travel.
    """
    data = _pack(word)
    if len(data) > LONGEST:
        raise ValueError(f"{len(data)} bytes are more than workers tell each other at once")
    return len(data).to_bytes(_PREFIX, "big") + data


def raw(value: object) -> msgspec.Raw:
    """A value for `Done`."""
    return msgspec.Raw(_pack(value))


class Framer:
    """Bytes in, whole frames out. `longest`: bytes of a frame, less than `LONGEST` where set."""

    __slots__ = ("_buffer", "longest")

    def __init__(self, longest: int | None = None) -> None:
        self._buffer = bytearray()
        self.longest = longest

    def receive(self, data: bytes) -> list[bytes]:
        """The frames that are whole now. Raises ProtocolError for one that is too long."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start = 0
        while len(buffer) - start >= _PREFIX:
            size = int.from_bytes(buffer[start : start + _PREFIX], "big")
            if size > (self.longest or LONGEST):
                raise ProtocolError(f"a frame of {size} bytes; at most {self.longest or LONGEST}")
            end = start + _PREFIX + size
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[start + _PREFIX : end]))
            start = end
        del buffer[:start]
        return frames
