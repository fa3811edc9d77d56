"""How Action Cable writes what a server says.  HOT

Action Cable protocol, `actioncable-v1-json`: text messages, each a JSON object. The alias of a
membership is its identifier, as the client wrote it.
"""

from collections.abc import Sequence

import msgspec

from anywire.body import Body
from anywire.frames import At, Bye, Presence
from anywire.payload import Payload
from anywire.wires.base import Cap
from anywire.wires.nameless import presence_of

RESERVED = frozenset({"error", "gap"})
RESTART, UNAUTHORIZED, INVALID, REMOTE = (
    "server_restart",
    "unauthorized",
    "invalid_request",
    "remote",
)
REASONS = frozenset((RESTART, UNAUTHORIZED, INVALID, REMOTE))
"""Why a server disconnects, in the words of Rails."""
_CODES = {1001: RESTART, 4401: UNAUTHORIZED, 1002: INVALID, 1003: INVALID, 1007: INVALID}
_CODES |= {1009: INVALID, 4400: INVALID}

_json = msgspec.json.Encoder().encode


class ActionCableCodec:
    """`{"identifier":"…","message":{"text":"hi"}}` for the event `message`; any other has its name:
    `{"identifier":"…","message":{"event":"said","data":{"text":"hi"}}}`.
    """

    __slots__ = ()

    name = "actioncable.1"
    caps = Cap.MANY

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        data = b'{"identifier":%b,"message":%b}' % (_json(alias), message_of(event, body))
        return Payload(data, counted=False, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.event(alias, "presence", presence_of(change), At(""))


PLAIN = ActionCableCodec()


def message_of(event: str, body: Body) -> bytes:
    """What stands under `message`. What an application says in `message` is never wrapped: clients
    of Rails know no names.
    """
    if event == "message":
        return body.inline_one
    if body.count:
        return b'{"event":%b,"data":%b}' % (_json(event), body.inline_one)
    return b'{"event":%b}' % _json(event)


def about(alias: str, kind: str) -> Payload:
    """`{"identifier":"…","type":"confirm_subscription"}`, and all that says as little."""
    data = b'{"identifier":%b,"type":"%b"}' % (_json(alias), kind.encode())
    return Payload(data, counted=False)


def confirm(alias: str) -> Payload:
    """The subscription stands."""
    return about(alias, "confirm_subscription")


def reject(alias: str) -> Payload:
    """There is no such subscription, or no more."""
    return about(alias, "reject_subscription")


def welcome(session: str | None = None, restored: Sequence[str] | None = None) -> Payload:
    """What a conversation begins with; `session`: what clients come back with. `restored`:
    the subscriptions that still stand, when they did.
    """
    about: dict[str, object] = {"type": "welcome"}
    if session is not None:
        about["sid"] = session
    if restored is not None:
        about |= {"restored": True, "restored_ids": restored}
    return Payload(_json(about), counted=False)


def ping(time: int) -> Payload:
    """The server lives; `time`: in unix seconds."""
    return Payload(b'{"type":"ping","message":%d}' % time, counted=False)


def disconnect(reason: str, *, reconnect: bool) -> Payload:
    """The server ends the conversation; `reconnect`: come back by yourself."""
    about = {"type": "disconnect", "reason": reason, "reconnect": reconnect}
    return Payload(_json(about), counted=False)


def goodbye(bye: Bye) -> Payload:
    """`disconnect` as its application, or its code, has it."""
    reason = bye.text if bye.text in REASONS else _CODES.get(bye.code, REMOTE)
    return disconnect(reason, reconnect=bye.retry is not None)
