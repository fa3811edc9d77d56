"""Frames: the waist of the hourglass, everything that can pass between a wire and the core.

Seventeen, for all wires; an eighteenth needs a decision record. `alias` is the address as this
client spells it, `ref` whatever the client (or we) chose to find the answer again. A machine's
`receive` returns frames whose data is `Args` (as the peer wrote it); its `send` takes frames whose
data is a `Body` (as the application said it).

`Position`, `Since` and `Record` are what brokers number, keep and carry.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from anywire.body import NO_ARGS, Args, Body

Data = Args | Body
Ref = str | int


class Want(Enum):
    """What the sender of an event waits for."""

    NOTHING = 0
    REPLY = 1
    STREAM = 2


class Outcome(Enum):
    """How a join with a position ended."""

    FRESH = "fresh"
    RECOVERED = "recovered"
    LOST = "lost"


class Position(msgspec.Struct, frozen=True):
    """A point in a room's history."""

    offset: int
    """Counts from 1 within the epoch; 0 is before everything."""
    epoch: str
    """Changes when history was lost; offsets of two epochs do not compare."""


class Since(msgspec.Struct, frozen=True):
    """From where to catch up: positions by room, a unix time in seconds, or the last n."""

    positions: Mapping[str, Position] = {}
    time: float | None = None
    last: int | None = None
    mark: int | None = None
    """The last `At.mark` heard, where a wire has one cursor over all rooms."""


class Auth(msgspec.Struct):
    """Who the client says it is, when its wire says so in a message of its own."""

    ref: Ref | None
    credentials: Data
    is_final: bool = True
    """A refusal ends the session; else the client may say it anew, until its time is up."""


class Welcome(msgspec.Struct):
    """The session stands: its public id, the secret to resume it, and what the client must know."""

    session: str
    token: str | None
    beat: float
    resumed: bool = False
    received: int = 0
    """Counted messages we have from this client (resume)."""
    acked: int = 0
    """Counted messages of ours the client is known to have (wires that name what they repeat)."""
    limits: Mapping[str, float] = {}


class Join(msgspec.Struct):
    """Become a member at an address."""

    ref: Ref | None
    address: str
    alias: str
    params: Data = NO_ARGS
    since: Since | None = None
    token: str = ""
    """The secret of a membership of another session to go on with (`Cap.ADOPT`)."""
    mark: str | None = None
    """… and the last mark that its client heard; None: none."""
    parts: Mapping[str, object] | None = None
    """What the client says one by one, where it does not spell the address: `address` names the
    channel, whose pattern is filled with these; the rest are the params. None: it spells it."""


class Joined(msgspec.Struct):
    """The answer to a join that was allowed; `outcome` holds for each room in `positions`."""

    ref: Ref | None
    alias: str
    data: Body | Args | None = None
    outcome: Outcome = Outcome.FRESH
    reason: str = ""
    """Why history was lost: `epoch`, `expired`, `limit`, `off`."""
    positions: Mapping[str, Position] = {}
    member: str = ""
    """The public id of the membership."""
    token: str = ""
    """The secret to go on with it in another session, where the wire can (`Cap.ADOPT`)."""


class Refusal(msgspec.Struct):
    """No: to a join (`ref` of the join), an event (`ref` of the event) or a session (neither)."""

    ref: Ref | None
    alias: str | None
    code: str
    text: str = ""
    data: Data | None = None
    event: str | None = None
    """The event that was refused, for wires that cannot tell by `ref`."""


class Leave(msgspec.Struct):
    """The end of a membership, by either side."""

    alias: str
    ref: Ref | None = None
    code: str = ""
    text: str = ""


class Event(msgspec.Struct):
    """A named message with arguments, either way; a call when `want` is not NOTHING."""

    alias: str
    event: str
    args: Data
    ref: Ref | None = None
    want: Want = Want.NOTHING
    streams: tuple[Ref, ...] = ()
    """Refs of the uploads that follow as `Item`s, in the order of the stream parameters."""
    volatile: bool = False
    id: str | None = None
    """Idempotency key of a publish."""
    trace: str | None = None
    position: Position | None = None
    """Where a publication stands in the history of `room`: what a client needs to recover."""
    room: str | None = None
    """The room of a publication, where it is not the address."""


class Reply(msgspec.Struct):
    """The answer to a call; an error when `code` is not empty."""

    ref: Ref
    alias: str
    data: Data | None = None
    code: str = ""
    text: str = ""


class Item(msgspec.Struct):
    """One value of a stream, either way."""

    ref: Ref
    data: Data


class End(msgspec.Struct):
    """The end of a stream, either way; an error when `code` is not empty."""

    ref: Ref
    code: str = ""
    text: str = ""


class Cancel(msgspec.Struct):
    """The asking side has no more use for the answer or stream."""

    ref: Ref


class Presence(msgspec.Struct):
    """Who came and went (`joined`, `left`: metas by key), or, when `whole`, who is here."""

    alias: str
    joined: Mapping[str, list[Any]]
    left: Mapping[str, list[Any]]
    whole: bool = False
    position: Position | None = None
    joined_refs: Mapping[str, list[str]] = {}
    """For each meta that came, in its order, what tells equal metas apart; empty where the wire
    does not carry it."""
    left_refs: Mapping[str, list[str]] = {}
    """… and for each that went, as it was told when it came."""
    stays: Mapping[str, Any] = {}
    """For each key that one has left and others still stand under, their newest meta."""


class Past(msgspec.Struct):
    """A question for a room's history; its answer is a Reply."""

    ref: Ref
    alias: str
    since: Since
    limit: int


class Gap(msgspec.Struct):
    """Publications that this member will not get: it was too slow."""

    alias: str
    lost: int
    position: Position | None = None


class Ack(msgspec.Struct):
    """The peer has this many counted messages."""

    seq: int


class Beat(msgspec.Struct):
    """Alive, either way; `echo` is what a pong must bring back."""

    echo: str | None = None
    is_answer: bool = False
    is_own: bool = False
    """Asked in the wire's own words; else, if it can, by the carrier."""


class Bye(msgspec.Struct):
    """The session ends; `retry` is when to come back in seconds, None: stay away."""

    code: int
    text: str = ""
    retry: float | None = 0.0


Frame = (
    Auth | Welcome | Join | Joined | Refusal | Leave | Event | Reply | Item | End | Cancel |
    Presence | Past | Gap
    | Ack | Beat | Bye
)  # fmt: skip


class At(msgspec.Struct, frozen=True):
    """Where a publication stands, for the codec: the same for every member of a lane."""

    room: str
    position: Position | None = None
    mark: int | None = None
    """A node's counter, for wires with one cursor; None where volatile or acknowledged."""
    ref: Ref | None = None
    """Set on an acknowledged broadcast: members answer under it."""
    volatile: bool = False


class Record(msgspec.Struct, kw_only=True):
    """One publication as brokers number, keep and carry it."""

    room: str
    event: str
    body: Body
    id: str | None = None
    """Idempotency key: a second record with it, inside the window, is not published."""
    but: tuple[str, ...] = ()
    """Member ids (`<node>.<session>.<n>`) and room names that do not hear it."""
    trace: str | None = None
    position: Position | None = None
    """Given by the broker."""
    time: float = 0.0
    """Unix time of publication in seconds."""
    volatile: bool = False
    key: str | None = None
    """What `latest` replaces by; computed where it was published."""
    ref: Ref | None = None
    origin: str = ""
    """The node that published, and waits for answers if `ref` is set."""
    extra: Mapping[str, Any] = {}
    """Fields of a newer node, kept as they came."""


def pack_record(record: Record) -> bytes:
    """A record as MessagePack for a bus or a store; `unpack_record` is its inverse."""
    fields: dict[str, Any] = dict(record.extra)
    position = record.position
    fields |= {
        "room": record.room,
        "event": record.event,
        "json": record.body.json,
        "blobs": record.body.blobs,
        "names": record.body.names,
        "id": record.id,
        "but": record.but,
        "trace": record.trace,
        "offset": position and position.offset,
        "epoch": position and position.epoch,
        "time": record.time,
        "volatile": record.volatile,
        "key": record.key,
        "ref": record.ref,
        "origin": record.origin,
    }
    return msgspec.msgpack.encode(fields)


class _Packed(msgspec.Struct):
    room: str
    event: str
    json: bytes
    blobs: tuple[tuple[int, bytes], ...] = ()
    names: tuple[str, ...] | None = None
    id: str | None = None
    but: tuple[str, ...] = ()
    trace: str | None = None
    offset: int | None = None
    epoch: str | None = None
    time: float = 0.0
    volatile: bool = False
    key: str | None = None
    ref: Ref | None = None
    origin: str = ""


def unpack_record(data: bytes) -> Record:
    """The record in these bytes; fields of a newer version stand in `extra`. Raises ValueError."""
    try:
        known = msgspec.msgpack.decode(data, type=_Packed)
        extra = {
            key: value
            for key, value in msgspec.msgpack.decode(data).items()
            if key not in _Packed.__struct_fields__
        }
    except msgspec.DecodeError as error:
        raise ValueError(f"not a record: {error}") from error
    return Record(
        room=known.room,
        event=known.event,
        body=Body(known.json, known.blobs, names=known.names),
        id=known.id,
        but=known.but,
        trace=known.trace,
        position=None if known.offset is None else Position(known.offset, known.epoch or ""),
        time=known.time,
        volatile=known.volatile,
        key=known.key,
        ref=known.ref,
        origin=known.origin,
        extra=extra,
    )
