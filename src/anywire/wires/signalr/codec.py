"""How SignalR writes messages: JSON text behind which U+001E stands, or MessagePack.  HOT

SignalR HubProtocol, JSON Encoding and MessagePack Encoding. A hub's members need no alias: what
many hear is the same for all of one encoding. Messages of types 1 to 5 are counted (stateful
reconnect), the others are not.
Length: both encodings of each message stand side by side, so that none is changed alone.
"""

import re
from typing import Protocol

import msgspec

from anywire.body import Body, Form
from anywire.frames import At, Presence
from anywire.payload import Payload
from anywire.wires.base import Cap
from anywire.wires.signalr.records import framed

INVOCATION = 1
STREAM_ITEM = 2
COMPLETION = 3
STREAM_INVOCATION = 4
CANCEL_INVOCATION = 5
PING = 6
CLOSE = 7
ACK = 8
SEQUENCE = 9
CAPS = Cap.REPLY | Cap.CALL | Cap.STREAM | Cap.RESUME

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_PROBLEM = re.compile(r"([a-z_]{1,40})(?:: (.+))?", re.DOTALL)
_FAILED, _VOID, _RESULT = 1, 2, 3
"""Kinds of a MessagePack completion."""


class SignalRCodec(Protocol):
    """A codec of this protocol: also what machines write everything else with."""

    name: str
    caps: Cap
    form: Form
    ping: Payload

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload: ...

    def presence(self, alias: str, change: Presence) -> Payload: ...

    def invoke(
        self,
        kind: int,
        target: str,
        body: Body,
        *,
        id: str | None = None,
        streams: tuple[str, ...] = (),
        volatile: bool = False,
    ) -> Payload:
        """An invocation; `id`: it is to be completed."""
        ...

    def item(self, id: str, body: Body) -> Payload:
        """One item of a stream."""
        ...

    def result(self, id: str, body: Body | None) -> Payload:
        """A completion with this result, if it is any."""
        ...

    def failure(self, id: str, error: str) -> Payload:
        """A completion with an error."""
        ...

    def cancel(self, id: str) -> Payload: ...

    def close(self, error: str | None, *, may_return: bool) -> Payload:
        """The last word. `may_return`: a client with automatic reconnect comes back."""
        ...

    def count(self, kind: int, sequence: int) -> Payload:
        """An `ACK` or a `SEQUENCE`."""
        ...


class JsonCodec:
    """`{"type":1,"target":"said","arguments":[{"text":"hi"}]}` and U+001E; bytes as base64."""

    __slots__ = ("ping",)

    name = "signalr.json"
    caps = CAPS
    form = Form.JSON

    def __init__(self) -> None:
        self.ping = Payload(b'{"type":6}\x1e', counted=False)

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        if at.ref is not None:
            id = question(at.ref)
            return self.invoke(INVOCATION, event, body, id=id, volatile=at.volatile)
        data = b'{"type":1,"target":%b,"arguments":%b}\x1e' % (_json(event), body.inline)
        return Payload(data, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.event(alias, "presence", present(change), At(""))

    def invoke(
        self,
        kind: int,
        target: str,
        body: Body,
        *,
        id: str | None = None,
        streams: tuple[str, ...] = (),
        volatile: bool = False,
    ) -> Payload:
        more = b"" if id is None else b',"invocationId":%b' % _json(id)
        if streams:
            more += b',"streamIds":%b' % _json(streams)
        data = b'{"type":%d,"target":%b,"arguments":%b%b}\x1e'
        return Payload(data % (kind, _json(target), body.inline, more), volatile=volatile)

    def item(self, id: str, body: Body) -> Payload:
        data = b'{"type":2,"invocationId":%b,"item":%b}\x1e' % (_json(id), body.inline_one)
        return Payload(data)

    def result(self, id: str, body: Body | None) -> Payload:
        result = b',"result":%b' % body.inline_one if body is not None and body.count else b""
        return Payload(b'{"type":3,"invocationId":%b%b}\x1e' % (_json(id), result))

    def failure(self, id: str, error: str) -> Payload:
        data = b'{"type":3,"invocationId":%b,"error":%b}\x1e' % (_json(id), _json(error))
        return Payload(data)

    def cancel(self, id: str) -> Payload:
        return Payload(b'{"type":5,"invocationId":%b}\x1e' % _json(id))

    def close(self, error: str | None, *, may_return: bool) -> Payload:
        about = b"" if error is None else b',"error":%b' % _json(error)
        if may_return:
            about += b',"allowReconnect":true'
        return Payload(b'{"type":7%b}\x1e' % about, counted=False)

    def count(self, kind: int, sequence: int) -> Payload:
        return Payload(b'{"type":%d,"sequenceId":%d}\x1e' % (kind, sequence), counted=False)


class MsgpackCodec:
    """`[1, {}, nil, "said", [{"text": "hi"}], []]` behind its length; bytes are bytes."""

    __slots__ = ("ping",)

    name = "signalr.msgpack"
    caps = CAPS | Cap.BINARY
    form = Form.MSGPACK

    def __init__(self) -> None:
        self.ping = Payload(b"\x02\x91\x06", is_text=False, counted=False)

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        id = None if at.ref is None else question(at.ref)
        return self.invoke(INVOCATION, event, body, id=id, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.event(alias, "presence", present(change), At(""))

    def invoke(
        self,
        kind: int,
        target: str,
        body: Body,
        *,
        id: str | None = None,
        streams: tuple[str, ...] = (),
        volatile: bool = False,
    ) -> Payload:
        parts = (kind, _pack(id), _pack(target), body.packed, _pack(streams))
        return _packed(b"\x96%c\x80%b%b%b%b" % parts, volatile=volatile)

    def item(self, id: str, body: Body) -> Payload:
        return _packed(b"\x94\x02\x80%b%b" % (_pack(id), body.packed_one))

    def result(self, id: str, body: Body | None) -> Payload:
        if body is None or not body.count:
            return _packed(b"\x94\x03\x80%b%c" % (_pack(id), _VOID))
        return _packed(b"\x95\x03\x80%b%c%b" % (_pack(id), _RESULT, body.packed_one))

    def failure(self, id: str, error: str) -> Payload:
        return _packed(b"\x95\x03\x80%b%c%b" % (_pack(id), _FAILED, _pack(error)))

    def cancel(self, id: str) -> Payload:
        return _packed(b"\x93\x05\x80%b" % _pack(id))

    def close(self, error: str | None, *, may_return: bool) -> Payload:
        return _packed(_pack((CLOSE, error, may_return)), counted=False)

    def count(self, kind: int, sequence: int) -> Payload:
        return _packed(_pack((kind, sequence)), counted=False)


JSON, MSGPACK = JsonCodec(), MsgpackCodec()
PROTOCOLS: dict[str, SignalRCodec] = {"json": JSON, "messagepack": MSGPACK}
"""By the names that a handshake has for them."""


def question(ref: int | str) -> str:
    """The id of an invocation that a client is to complete, unlike most ids of its own streams."""
    return f"~{ref}"


def asked(id: str) -> int | None:
    """The ref of our question with this id; None where it is none of ours."""
    number = id[1:]
    if id[:1] == "~" and number.isascii() and number.isdigit() and len(number) < 19:
        return int(number)
    return None


def problem(code: str, text: str) -> str:
    """An error as the other end is told it: all that this wire has for one is a text."""
    return f"{code}: {text}" if text else code


def told(error: str) -> tuple[str, str]:
    """Code and text of an error that `problem` wrote; one of anybody else is a text alone."""
    found = _PROBLEM.fullmatch(error)
    return ("failed", error) if found is None else (found[1], found[2] or "")


def present(change: Presence) -> Body:
    """What the client method `presence` is called with."""
    return Body.of({"joined": change.joined, "left": change.left, "whole": change.whole})


def _packed(data: bytes, *, counted: bool = True, volatile: bool = False) -> Payload:
    return Payload(framed(data), is_text=False, counted=counted, volatile=volatile)
