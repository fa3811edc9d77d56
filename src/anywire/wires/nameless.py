"""Nameless: what wires have in common whose messages have no names: raw, and what carries raw.

A text or bytes message is the event `message`, at the one address joined at opening. Any other
event travels as `{"event": …, "data": …}`, both ways; a refusal that leaves the conversation open
is the event `error`. Knows no framing: a wire's codec says how a message is written.
"""

from collections.abc import Mapping, Sequence

import msgspec

from anywire.body import NO_ARGS, Args, Body, Form
from anywire.errors import ProtocolError
from anywire.frames import At, Event, Frame, Gap, Join, Position, Presence, Refusal, Since
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Message, Payload
from anywire.wires.base import Codec
from anywire.wires.refusal import count

PART = "{address}"
"""What stands in a path for the address."""
RESERVED = frozenset({"error", "gap"})
_POSITION = ("offset", "epoch", "last")
_STEADY, _VOLATILE = At(""), At("", volatile=True)
"""All that these codecs ask of where an event stands."""

_json = msgspec.json.Encoder().encode


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    data: msgspec.Raw = msgspec.Raw()


_named = msgspec.json.Decoder(_Named).decode


# --- what is said ---------------------------------------------------------------------------------


def message_of(event: str, body: Body) -> Payload:
    """The message that stands for an event: bare, or with its name."""
    bare = body.bare if event == "message" else None
    if bare is None or _would_be_named(bare, body):
        return named(event, body)
    return Payload.of(bare)


def named(event: str, body: Body) -> Payload:
    """`{"event":"said","data":{"text":"hi"}}`."""
    data = b',"data":' + body.inline_one if body.count else b""
    return Payload(b'{"event":%b%b}' % (_json(event), data))


def presence_of(change: Presence) -> Body:
    """What the event `presence` says."""
    return Body.of({"joined": change.joined, "left": change.left, "whole": change.whole})


def said(frame: Frame, codec: Codec) -> Sequence[Payload]:
    """What a server's codec writes for a frame; nothing for one that there are no words for."""
    match frame:
        case Event():
            at = _VOLATILE if frame.volatile else _STEADY
            return (codec.event(frame.alias, frame.event, frame.args.body(), at),)
        case Presence():
            return (codec.presence(frame.alias, frame),)
        case Gap():
            return (codec.event(frame.alias, "gap", Body.of({"lost": frame.lost}), _STEADY),)
        case Refusal(event=str()):
            error: dict[str, object] = {
                "event": frame.event,
                "code": frame.code,
                "text": frame.text,
            }
            if frame.data is not None:
                error["data"] = frame.data.body().one_value
            return (codec.event(frame.alias or "", "error", Body.of(error), _STEADY),)
        case _:
            return ()


# --- what is heard --------------------------------------------------------------------------------


def event_of(alias: str, message: Message, limits: Limits) -> Event:
    """A message as an event: one with a name, if it is written as we write those.

    Raises ProtocolError for one that is too large.
    """
    size = len(message)
    if isinstance(message, bytes):
        if size > limits.message:
            raise _too_large(limits)
        return Event(alias, "message", Args(message, Form.BYTES))
    if 4 * size > limits.message and len(message.encode(errors="replace")) > limits.message:
        raise _too_large(limits)
    if message[:1] == "{" and '"event"' in message:
        if not is_too_deep_json(message, limits.nesting + 1):
            try:
                found = _named(message)
            except (msgspec.DecodeError, UnicodeError):
                pass  # an object of the application's own
            else:
                return Event(alias, found.event, Args(found.data) if len(found.data) else NO_ARGS)
    return Event(alias, "message", Args(message, Form.TEXT))


def join_at(address: str, query: Mapping[str, str]) -> Join:
    """The join at opening; the query has its parameters, and perhaps a position."""
    since, params = _since(address, query)
    return Join(
        ref=None,
        address=address,
        alias=address,
        params=Args(msgspec.Raw(_json(params)), Form.QUERY) if params else NO_ARGS,
        since=since,
    )


# --- inside ---------------------------------------------------------------------------------------


def _too_large(limits: Limits) -> ProtocolError:
    return ProtocolError(f"a message has at most {limits.message} bytes", code=1009)


def _would_be_named(bare: Message, body: Body) -> bool:
    """Whether an object would be taken for an event; text stays text, whatever it looks like."""
    if not isinstance(bare, str) or bare[:1] != "{" or body.one[0][:1] != b"{":
        return False
    try:
        _named(bare)
    except msgspec.DecodeError:
        return False
    return True


def _since(address: str, query: Mapping[str, str]) -> tuple[Since | None, Mapping[str, str]]:
    """A position in the query (`offset` and `epoch`, or `last`), and the query without it."""
    offset, last = (count(query.get(name, "")) for name in ("offset", "last"))
    epoch = query.get("epoch")
    if offset is not None and epoch:
        since = Since({address: Position(offset, epoch)})
    elif last is not None:
        since = Since(last=last)
    else:
        return None, query
    return since, {name: value for name, value in query.items() if name not in _POSITION}
