"""The codecs of the anywire protocol: JSON text and MessagePack binary with the same members.  HOT

`event` runs once per lane: the body's own encoding is spliced into the envelope, nothing is encoded
again. All other messages are small maps. What a frame looks like is in docs/reference/protocol.md;
this module knows no session.
Length: both forms of each word stand side by side, so that none is changed alone.
Budget: an event costs less than 2 µs beside the body's own encoding.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from anywire.body import Body, Form
from anywire.frames import (
    Ack,
    At,
    Auth,
    Beat,
    Bye,
    Cancel,
    Data,
    End,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Past,
    Position,
    Presence,
    Ref,
    Refusal,
    Reply,
    Since,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json, is_too_deep_msgpack
from anywire.payload import Message, Payload
from anywire.wires.anywire.message import CLOSE_KIND, CLOSE_SIZE, FromClient, FromServer, broken
from anywire.wires.base import Cap
from anywire.wires.surrogates import whole

Members = dict[str, object]
CAPS = Cap.REPLY | Cap.CALL | Cap.STREAM | Cap.PRESENCE | Cap.RECOVER | Cap.RESUME | Cap.MANY
ENVELOPE = 2
"""What a message adds to the nesting of its payload: the object, and the list of arguments."""
HISTORY = 4
"""What a server's message may add: in an answer to `past`, payloads stand in a list of objects."""

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_UNCOUNTED = frozenset((Welcome, Auth, Ack, Beat, Bye))


class OwnCodec(Protocol):
    """A codec of this protocol: also what machines read and write everything else with."""

    name: str
    caps: Cap
    form: Form

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload: ...

    def presence(self, alias: str, change: Presence) -> Payload: ...

    def reply(self, ref: Ref, body: Body) -> Payload:
        """The answer to a call, when it is no error."""
        ...

    def message(self, members: Members, *, counted: bool = True) -> Payload:
        """A message of these members; those that are None are left out."""
        ...

    def value(self, data: Data) -> msgspec.Raw:
        """One value, to stand in a member."""
        ...

    def arguments(self, data: Data) -> Members:
        """Arguments as the members `data` or `args`, or none at all."""
        ...

    def from_client(self, message: Message, limits: Limits) -> FromClient: ...

    def from_server(self, message: Message, limits: Limits) -> FromServer: ...


class JsonCodec:
    """`anywire.json.1`: text, one JSON object for each message."""

    __slots__ = ()

    name = "anywire.json"
    caps = CAPS
    form = Form.JSON

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        """`{"type":"event","address":"chat","event":"said","data":"hi","offset":13,"epoch":"k3"}`"""
        if at.ref is None:
            head = b'{"type":"event","address":'
        else:
            head = b'{"type":"call","ref":%b,"address":' % _json(at.ref)
        parts = [head, _json(alias), b',"event":', _json(event)]
        parts.append(body.derived("anywire.json", _json_arguments))
        if at.room != alias:
            parts += (b',"room":', _json(at.room))
        position = at.position
        if position is not None:
            parts.append(b',"offset":%d,"epoch":%b' % (position.offset, _json(position.epoch)))
        parts.append(b',"volatile":true}' if at.volatile else b"}")
        return Payload(b"".join(parts), volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.message(_presence(alias, change))

    def reply(self, ref: Ref, body: Body) -> Payload:
        return Payload(b'{"type":"reply","ref":%b%b}' % (_json(ref), _json_arguments(body)))

    def message(self, members: Members, *, counted: bool = True) -> Payload:
        return Payload(_json(_standing(members)), counted=counted)

    def value(self, data: Data) -> msgspec.Raw:
        return msgspec.Raw(data.body().inline_one)

    def arguments(self, data: Data) -> Members:
        body = data.body()
        return _arguments(body, b"null", body.inline_one)

    def from_client(self, message: Message, limits: Limits) -> FromClient:
        said: FromClient = _read(_from_client_json, check_text(message, limits))
        return said

    def from_server(self, message: Message, limits: Limits) -> FromServer:
        said: FromServer = _read(_from_server_json, check_text(message, limits, HISTORY))
        return said


class MsgpackCodec:
    """`anywire.msgpack.1`: binary, one MessagePack map for each message; bytes stay bytes."""

    __slots__ = ()

    name = "anywire.msgpack"
    caps = CAPS | Cap.BINARY
    form = Form.MSGPACK

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        """The members of `JsonCodec.event`, counted: a map's header tells their number."""
        ref, position = at.ref, at.position
        arguments = body.derived("anywire.msgpack", _packed_arguments)
        count = 3 + bool(arguments)
        parts = [
            b"",
            b"\xa4type\xa5event\xa7address" if ref is None else b"\xa4type\xa4call\xa7address",
        ]
        parts += (_pack(alias), b"\xa5event", _pack(event), arguments)
        if ref is not None:
            count += 1
            parts += (b"\xa3ref", _pack(ref))
        if at.room != alias:
            count += 1
            parts += (b"\xa4room", _pack(at.room))
        if position is not None:
            count += 2
            parts += (b"\xa6offset", _pack(position.offset), b"\xa5epoch", _pack(position.epoch))
        if at.volatile:
            count += 1
            parts.append(b"\xa8volatile\xc3")
        parts[0] = bytes((0x80 | count,))
        return Payload(b"".join(parts), is_text=False, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.message(_presence(alias, change))

    def reply(self, ref: Ref, body: Body) -> Payload:
        arguments = body.derived("anywire.msgpack", _packed_arguments)
        head = b"\x83\xa4type\xa5reply\xa3ref" if arguments else b"\x82\xa4type\xa5reply\xa3ref"
        return Payload(head + _pack(ref) + arguments, is_text=False)

    def message(self, members: Members, *, counted: bool = True) -> Payload:
        return Payload(_pack(_standing(members)), is_text=False, counted=counted)

    def value(self, data: Data) -> msgspec.Raw:
        return msgspec.Raw(data.body().packed_one)

    def arguments(self, data: Data) -> Members:
        body = data.body()
        return _arguments(body, b"\xc0", body.packed_one)

    def from_client(self, message: Message, limits: Limits) -> FromClient:
        said: FromClient = _read(_from_client_msgpack, _check_binary(message, limits))
        return said

    def from_server(self, message: Message, limits: Limits) -> FromServer:
        said: FromServer = _read(_from_server_msgpack, _check_binary(message, limits, HISTORY))
        return said


JSON = JsonCodec()
MSGPACK = MsgpackCodec()
SUBPROTOCOLS: Mapping[str, OwnCodec] = {"anywire.json.1": JSON, "anywire.msgpack.1": MSGPACK}


def write(frame: Frame, codec: OwnCodec) -> Payload:
    """The message for any frame but `Beat`, whose word depends on the side."""
    if isinstance(frame, Reply) and not frame.code and frame.data is not None:
        return codec.reply(frame.ref, frame.data.body())
    if isinstance(frame, Event) and frame.want is Want.NOTHING:
        return _event(frame, codec)
    kind = type(frame)
    return codec.message(_MEMBERS[kind](frame, codec), counted=kind not in _UNCOUNTED)


def check_text(message: Message, limits: Limits, envelope: int = ENVELOPE) -> str:
    """The message, if it is text within the limits. Raises ProtocolError."""
    if not isinstance(message, str):
        raise broken("this connection speaks text", CLOSE_KIND)
    size = len(message)
    if size > limits.message or (4 * size > limits.message and _size(message) > limits.message):
        raise broken(f"a message has at most {limits.message} bytes", CLOSE_SIZE)
    if is_too_deep_json(message, limits.nesting + envelope):
        raise broken(f"a payload nests at most {limits.nesting} deep")
    return message


def _check_binary(message: Message, limits: Limits, envelope: int = ENVELOPE) -> bytes:
    if not isinstance(message, bytes):
        raise broken("this connection speaks binary", CLOSE_KIND)
    if len(message) > limits.message:
        raise broken(f"a message has at most {limits.message} bytes", CLOSE_SIZE)
    if is_too_deep_msgpack(message, limits.nesting + envelope):
        raise broken(f"a payload nests at most {limits.nesting} deep")
    return message


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _read(decode: Callable[[Any], Any], message: Message) -> Any:
    try:
        return decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        mended = whole(message) if isinstance(message, str) else None
        if mended is not None:
            return _read(decode, mended)
        raise broken(f"not a message of this protocol: {error}") from error


_from_client_json = msgspec.json.Decoder(FromClient).decode
_from_server_json = msgspec.json.Decoder(FromServer).decode
_from_client_msgpack = msgspec.msgpack.Decoder(FromClient).decode
_from_server_msgpack = msgspec.msgpack.Decoder(FromServer).decode


def _standing(members: Members) -> Members:
    return {name: value for name, value in members.items() if value is not None}


def _arguments(body: Body, null: bytes, one: bytes) -> Members:
    """`null` would read as no argument at all, so a lone None travels in a list."""
    count = body.count
    if count == 0:
        return {}
    if count > 1 and not body.is_named:
        return {"args": msgspec.Raw(one)}  # without names, several arguments are one list
    if one == null:
        return {"args": [None]}
    return {"data": msgspec.Raw(one)}


def _json_arguments(body: Body) -> bytes:
    count = body.count
    if count == 0:
        return b""
    one = body.inline_one
    if count > 1 and not body.is_named:
        return b',"args":' + one
    return b',"args":[null]' if one == b"null" else b',"data":' + one


def _packed_arguments(body: Body) -> bytes:
    return _pack(MSGPACK.arguments(body))[1:]  # without the map's header, which is one byte


def _presence(alias: str, change: Presence) -> Members:
    return {
        "type": "presence",
        "address": alias,
        "joined": change.joined,
        "left": change.left,
        "whole": change.whole or None,
        **_place(change.position),
    }


def _place(position: Position | None) -> Members:
    return {} if position is None else {"offset": position.offset, "epoch": position.epoch}


def _since(since: Since | None) -> Members | None:
    if since is None:
        return None
    return _standing({"positions": since.positions or None, "time": since.time, "last": since.last})


def _event(frame: Event, codec: OwnCodec) -> Payload:
    if frame.id is None:
        room = frame.alias if frame.room is None else frame.room
        at = At(room, frame.position, volatile=frame.volatile)
        return codec.event(frame.alias, frame.event, frame.args.body(), at)
    payload = codec.message(_event_members(frame, codec))
    payload.volatile = frame.volatile
    return payload


def _event_members(frame: Event, codec: OwnCodec) -> Members:
    is_call = frame.want is not Want.NOTHING
    return {
        "type": "call" if is_call else "event",
        "ref": frame.ref if is_call else None,
        "address": frame.alias,
        "event": frame.event,
        **codec.arguments(frame.args),
        "stream": True if frame.want is Want.STREAM else None,
        "uploads": frame.streams or None,
        "id": frame.id,
        "room": frame.room,
        **_place(frame.position),
        "volatile": frame.volatile or None,
    }


def _auth(frame: Auth, codec: OwnCodec) -> Members:
    return {
        "type": "auth",
        "ref": 0 if frame.ref is None else frame.ref,
        "credentials": codec.value(frame.credentials),
    }


def _welcome(frame: Welcome, codec: OwnCodec) -> Members:
    return {
        "type": "welcome",
        "session": frame.session,
        "token": frame.token or None,
        "beat": frame.beat,
        "resumed": frame.resumed,
        "received": frame.received,
        "limits": frame.limits,
    }


def _join(frame: Join, codec: OwnCodec) -> Members:
    params = frame.params.body()
    return {
        "type": "join",
        "ref": frame.ref,
        "address": frame.address,
        "params": codec.value(params) if params.count else None,
        "since": _since(frame.since),
    }


def _joined(frame: Joined, codec: OwnCodec) -> Members:
    return {
        "type": "joined",
        "ref": frame.ref,
        "address": frame.alias,
        "data": None if frame.data is None else codec.value(frame.data),
        "outcome": frame.outcome.value,
        "reason": frame.reason or None,
        "positions": frame.positions or None,
    }


def _refused(frame: Refusal, codec: OwnCodec) -> Members:
    return {
        "type": "refused",
        "ref": frame.ref,
        "address": frame.alias,
        "event": frame.event,
        "code": frame.code,
        "text": frame.text or None,
        "data": None if frame.data is None else codec.value(frame.data),
    }


def _leave(frame: Leave, codec: OwnCodec) -> Members:
    return {
        "type": "leave",
        "address": frame.alias,
        "ref": frame.ref,
        "code": frame.code or None,
        "text": frame.text or None,
    }


def _reply(frame: Reply, codec: OwnCodec) -> Members:
    return {
        "type": "reply",
        "ref": frame.ref,
        **({} if frame.data is None else codec.arguments(frame.data)),
        "code": frame.code or None,
        "text": frame.text or None,
    }


def _item(frame: Item, codec: OwnCodec) -> Members:
    return {"type": "item", "ref": frame.ref, "data": codec.value(frame.data)}


def _end(frame: End, codec: OwnCodec) -> Members:
    return {"type": "end", "ref": frame.ref, "code": frame.code or None, "text": frame.text or None}


def _cancel(frame: Cancel, codec: OwnCodec) -> Members:
    return {"type": "cancel", "ref": frame.ref}


def _past(frame: Past, codec: OwnCodec) -> Members:
    return {
        "type": "past",
        "ref": frame.ref,
        "address": frame.alias,
        "since": _since(frame.since),
        "limit": frame.limit,
    }


def _gap(frame: Gap, codec: OwnCodec) -> Members:
    return {"type": "gap", "address": frame.alias, "lost": frame.lost, **_place(frame.position)}


def _ack(frame: Ack, codec: OwnCodec) -> Members:
    return {"type": "ack", "received": frame.seq}


def _bye(frame: Bye, codec: OwnCodec) -> Members:
    return {"type": "bye", "code": frame.code, "text": frame.text or None, "retry": frame.retry}


_MEMBERS: Mapping[type, Callable[[Any, OwnCodec], Members]] = {
    Ack: _ack,
    Auth: _auth,
    Bye: _bye,
    Cancel: _cancel,
    End: _end,
    Event: _event_members,
    Gap: _gap,
    Item: _item,
    Join: _join,
    Joined: _joined,
    Leave: _leave,
    Past: _past,
    Presence: lambda frame, codec: _presence(frame.alias, frame),
    Refusal: _refused,
    Reply: _reply,
    Welcome: _welcome,
}
