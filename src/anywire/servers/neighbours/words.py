"""What two nodes of one machine say to each other at a door; framed as in `brokers.local.words`.

The first word says what is brought and shows the key. A conversation is about one request, one
WebSocket, or one socket that is handed over.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

VERSION = 1


class _Word(msgspec.Struct, array_like=True, tag=True):
    """One word; its class is written by name."""


# --- first words -----------------------------------------------------------------------------


class Handed(_Word):
    """A socket comes with this word; `data` is what was read from it."""

    version: int
    key: bytes
    data: bytes


class Brought(_Word):
    """A request; its body follows as `Part` and `End`. `hello` is MessagePack."""

    version: int
    key: bytes
    hello: bytes


class Relayed(_Word):
    """A WebSocket that stays where it is; the answer is `Accepted` or `Denied`.

    `beats`: its client can be probed there.
    """

    version: int
    key: bytes
    hello: bytes
    beats: bool


# --- of a request ----------------------------------------------------------------------------


class Part(_Word):
    """A part of a body, either way."""

    data: bytes


class End(_Word):
    """The body is whole, either way."""


class Started(_Word):
    """The head of a response whose body follows."""

    status: int
    headers: Sequence[tuple[str, str]]


class Responded(_Word):
    """A whole response."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Broken(_Word):
    """The response cannot be finished."""

    status: int
    reason: str


class Taken(_Word):
    """What was written before has been taken by the client; of a handed socket: it has an owner."""


# --- of a WebSocket --------------------------------------------------------------------------


class Accepted(_Word):
    """A session stands for it."""

    subprotocol: str | None


class Denied(_Word):
    """None does: a plain answer, or (`code` set) an upgrade that is closed at once."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    code: int | None
    reason: str
    said: Sequence[Any]
    subprotocol: str | None


class Said(_Word):
    """Messages (str or bytes), either way."""

    messages: Sequence[Any]


class Heard(_Word):
    """The client is alive."""


class Gone(_Word):
    """The client's end of the WebSocket is gone."""

    code: int
    reason: str
    is_clean: bool


class Beat(_Word):
    """Probe the client."""


class Paused(_Word):
    """Read nothing more from the client …"""


class Resumed(_Word):
    """… until now."""


class Closed(_Word):
    """Say goodbye."""

    code: int
    reason: str


class Aborted(_Word):
    """Hang up at once."""


FromStranger = Handed | Brought | Relayed | Part | End | Taken | Said | Heard | Gone
FromOwner = (
    Taken
    | Responded
    | Started
    | Part
    | End
    | Broken
    | Accepted
    | Denied
    | Said
    | Beat
    | Paused
    | Resumed
    | Closed
    | Aborted
)

from_stranger = msgspec.msgpack.Decoder(FromStranger).decode
from_owner = msgspec.msgpack.Decoder(FromOwner).decode
