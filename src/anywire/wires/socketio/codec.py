"""How Socket.IO writes events, acknowledgements and what else a server says.  HOT

Socket.IO protocol, revision 5, behind the `4` of an Engine.IO message. The alias of a membership is
its namespace, with the slash. A client that may recover its connection state hears the mark of each
event as its last argument, the same for all who hear it: see `SocketIoMachine.missed`.
"""

import re

import msgspec

from anywire.body import NO_BODY, Args, Body, spliced
from anywire.frames import At, Presence, Ref, Reply
from anywire.payload import Payload
from anywire.wires.base import Cap

SIGN = "~"
"""What every mark begins with, so that it is told from an argument that is text."""
MARK = re.compile(r"~(?:[0-9a-f]{8}-)?[0-9]{1,19}", re.ASCII)
"""A node's count, or a client's id and the count of what it alone heard."""

_json = msgspec.json.Encoder().encode
_PLACEHOLDER = b'"_placeholder"'
ATTACHMENTS = 10
"""Values of bytes that go out beside an event: the official client takes no more."""
CAPS = Cap.REPLY | Cap.CALL | Cap.BINARY | Cap.MANY


class _Error(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    text: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Refused(msgspec.Struct, forbid_unknown_fields=True):
    error: _Error


_errors = msgspec.json.Decoder(tuple[_Refused]).decode


class SocketIoCodec:
    """`42/chat,["said",{"text":"hi"}]`; with marks: `42["said",{"text":"hi"},"~7"]`."""

    __slots__ = ("caps", "marks", "name")

    def __init__(self, *, marks: bool) -> None:
        self.marks = marks
        self.name = "socketio.5.marks" if marks else "socketio.5"
        self.caps = CAPS | Cap.ADOPT if marks else CAPS

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        mark = None if at.mark is None or not self.marks else f"{SIGN}{at.mark}"
        return write(alias, event, body, id=at.ref, mark=mark, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        about = {"joined": change.joined, "left": change.left, "whole": change.whole}
        return write(alias, "presence", Body.of(about))


PLAIN, MARKED = SocketIoCodec(marks=False), SocketIoCodec(marks=True)


def write(
    alias: str,
    event: str,
    body: Body,
    *,
    id: int | str | None = None,
    mark: str | None = None,
    volatile: bool = False,
) -> Payload:
    """One event; `id`: the client is to acknowledge it."""
    head = _head(alias, id)
    named = _json(event)
    if body.blobs:
        text, attachments = body.derived("socketio", _filled)
    else:
        text, attachments = body.json, ()
    if mark is not None:
        named = b"%b,%b" % (named, text[1:-1]) if len(text) > 2 else named
        said = b'[%b,"%b"]' % (named, mark.encode())
    else:
        said = b"[%b,%b" % (named, text[1:]) if len(text) > 2 else b"[%b]" % named
    kind = b"45%d-" % len(attachments) if attachments else b"42"
    data = kind + head + said
    return Payload(data, rest=attachments, counted=mark is not None, volatile=volatile)


def acknowledge(alias: str, id: int | str, body: Body) -> Payload:
    """The answer to an event of the client, or of the server."""
    head = _head(alias, id)
    if not body.blobs:
        return Payload(b"43" + head + body.json, counted=False)
    text, attachments = body.derived("socketio", _filled)
    kind = b"46%d-" % len(attachments) if attachments else b"43"
    return Payload(kind + head + text, rest=attachments, counted=False)


def answer(reply: Reply, alias: str) -> Payload:
    """The answer to an event; of one that was refused, `[{"error":{"code":"busy","text":""}}]`."""
    body = NO_BODY if reply.data is None else reply.data.body()
    if reply.code:
        data = None if reply.data is None else body.one_value
        body = Body.of({"error": problem(reply.code, reply.text, data)})
    return acknowledge(alias, reply.ref, body)


def answered(ref: Ref, alias: str, args: Args) -> Reply:
    """What an acknowledgement says, as `answer` writes it."""
    raw = args.raw
    if isinstance(raw, str) and raw.startswith('[{"error":'):
        try:
            (said,) = _errors(raw)
        except msgspec.DecodeError:
            pass  # an object of the application's own
        else:
            error = said.error
            data = Args(error.data) if len(error.data) else None
            return Reply(ref, alias, data, error.code, error.text)
    return Reply(ref, alias, args)


def problem(code: str, text: str, data: object = None) -> dict[str, object]:
    """An error as clients are told it."""
    about: dict[str, object] = {"code": code, "text": text}
    if data is not None:
        about["data"] = data
    return about


def connect(alias: str, data: object = None) -> Payload:
    """A namespace is to be joined, or was."""
    payload = b"" if data is None else _json(data)
    return Payload(b"40" + _namespace(alias) + payload, counted=False)


def refuse(alias: str, error: object) -> Payload:
    """A namespace may not be joined."""
    return Payload(b"44" + _namespace(alias) + _json(error), counted=False)


def disconnect(alias: str) -> Payload:
    """A namespace is left."""
    return Payload(b"41" + _namespace(alias), counted=False)


def _head(alias: str, id: int | str | None) -> bytes:
    """Namespace and id; an id that is no number is none: no client could answer it."""
    head = _namespace(alias)
    if id is None:
        return head
    number = str(id)
    return head + number.encode() if number.isascii() and number.isdigit() else head


def _namespace(alias: str) -> bytes:
    return b"" if alias == "/" else alias.encode() + b","


def _filled(body: Body) -> tuple[bytes, tuple[Payload, ...]]:
    """The arguments with what stands for their bytes, and these, which travel beside them."""
    json, blobs = body.json, body.blobs
    if len(blobs) > ATTACHMENTS or _PLACEHOLDER in json:
        # Somebody's own object would be taken for a place of bytes, and break the client.
        return body.inline, ()
    text = spliced(json, blobs, lambda index: b'{"_placeholder":true,"num":%d}' % index)
    return text, tuple([Payload(blob, is_text=False) for _, blob in blobs])
