"""The client's end of an Action Cable conversation, `actioncable-v1-json`.

An alias is an identifier; one that is no JSON object is the address, and what joins with it stands
beside it in the identifier: `{"channel":"chat:lobby","name":"ana"}`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from anywire.body import NO_ARGS, Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Event,
    Frame,
    Join,
    Joined,
    Leave,
    Ref,
    Refusal,
    Welcome,
)
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Message, Payload
from anywire.wires.actioncable.codec import PLAIN, RESTART, UNAUTHORIZED
from anywire.wires.actioncable.commands import CALLBACKS, ENVELOPE, RECEIVE
from anywire.wires.base import Request

SUBPROTOCOLS = ("actioncable-v1-json", "actioncable-unsupported")
_CODES = {RESTART: 1001, UNAUTHORIZED: 4401}
_OWN = frozenset((RECEIVE, *CALLBACKS))


class _Said(msgspec.Struct):
    type: str = ""
    identifier: str = ""
    message: msgspec.Raw = msgspec.Raw()
    reason: str | None = None
    reconnect: bool = True
    sid: str = ""


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    data: msgspec.Raw = msgspec.Raw()


_said = msgspec.json.Decoder(_Said).decode
_named = msgspec.json.Decoder(_Named).decode
_object = msgspec.json.Decoder(dict[str, Any]).decode
_json = msgspec.json.Encoder().encode


class ActionCableClient:
    """`silence`: seconds without a word from the server after which it is gone."""

    __slots__ = ("_aliases", "_identifiers", "_limits", "_refs", "_until", "silence")

    caps = PLAIN.caps
    is_single = False

    def __init__(self, limits: Limits | None = None, *, silence: float = 30.0) -> None:
        self._limits = limits or Limits()
        self.silence = silence
        self._identifiers: dict[str, str] = {}
        """By alias; `_aliases` is the other way round."""
        self._aliases: dict[str, str] = {}
        self._refs: dict[str, Ref | None] = {}
        """By identifier: joins that wait for their answer."""
        self._until: float | None = None

    def opening(self) -> Request:
        return Request(subprotocols=SUBPROTOCOLS)

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._refs.clear()
        self.heard(now)
        return ()

    def heard(self, now: float) -> None:
        self._until = now + self.silence

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self.heard(now)
        if is_too_deep_json(message, self._limits.nesting + ENVELOPE):
            raise ProtocolError(f"a payload nests at most {self._limits.nesting} deep")
        try:
            said = _said(message)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolError("not a message of an Action Cable server") from error
        identifier = said.identifier
        alias = self._aliases.get(identifier, identifier)
        match said.type:
            case "welcome":
                return (Welcome(said.sid, None, 0.0),)
            case "ping":
                return (Beat(),)
            case "confirm_subscription":
                return (Joined(self._refs.pop(identifier, None), alias),)
            case "reject_subscription":
                return (self._rejected(identifier, alias),)
            case "disconnect":
                reason = said.reason or ""
                code = _CODES.get(reason, 4403)
                return (Bye(code, reason, 0.0 if said.reconnect else None),)
            case "" if len(said.message):
                return (_event(alias, said.message),)
            case _:
                return ()

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Event():
                identifier = self._identifiers.get(frame.alias) or identifier_of(frame.alias)
                data = data_of(frame.event, frame.args.body())
                return (_command("message", identifier, data.decode()),)
            case Join():
                params = frame.params.body().one_value
                asked = params if isinstance(params, dict) else {}
                identifier = identifier_of(frame.alias, asked)
                self._identifiers[frame.alias] = identifier
                self._aliases[identifier] = frame.alias
                self._refs[identifier] = frame.ref
                return (_command("subscribe", identifier),)
            case Leave():
                identifier = self._forget(frame.alias)
                return (_command("unsubscribe", identifier),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        return ()

    def deadline(self) -> float | None:
        return self._until

    def tick(self, now: float) -> Sequence[Frame]:
        if self._until is None or now < self._until:
            return ()
        self._until = None
        return (Bye(4410, "nothing heard in time"),)

    # --- inside ---------------------------------------------------------------------------------

    def _rejected(self, identifier: str, alias: str) -> Frame:
        """No to a join; to what was joined, the end of it."""
        was_asked = identifier in self._refs
        ref = self._refs.pop(identifier, None)
        self._forget(alias)
        if was_asked:
            return Refusal(ref, alias, "refused", "the subscription was rejected")
        return Leave(alias)

    def _forget(self, alias: str) -> str:
        identifier = self._identifiers.pop(alias, None) or identifier_of(alias)
        self._aliases.pop(identifier, None)
        self._refs.pop(identifier, None)
        return identifier


def identifier_of(alias: str, params: "dict[str, Any] | None" = None) -> str:
    """The identifier of an alias that is to be joined with these parameters.

    >>> identifier_of("chat:lobby", {"name": "ana"})
    '{"channel":"chat:lobby","name":"ana"}'
    """
    members: dict[str, Any] = {"channel": alias}
    if alias.startswith("{"):
        try:
            members = _object(alias)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass  # a name that only looks so
        else:
            if not params:
                return alias
    return _json(
        {**members, **{k: v for k, v in (params or {}).items() if k != "channel"}}
    ).decode()


def data_of(event: str, body: Body) -> bytes:
    """The data of a message: an action and what it is given, or what only anywire understands."""
    one, name = body.inline_one, _json(event)
    if one[:1] == b"{" and body.count == 1 and event.strip() and event not in _OWN:
        members = _object(one)
        if event == "message" and not members.keys() & {"action", "event"}:
            return one
        if event != "message" and "action" not in members:
            return _json({**members, "action": event})
    elif event == "message" and body.count:
        return one
    return b'{"event":%b,"data":%b}' % (name, one) if body.count else b'{"event":%b}' % name


def _command(command: str, identifier: str, data: str | None = None) -> Payload:
    said = {"command": command, "identifier": identifier}
    if data is not None:
        said["data"] = data
    return Payload(_json(said), counted=False)


def _event(alias: str, message: msgspec.Raw) -> Event:
    if bytes(message)[:1] == b"{":
        try:
            found = _named(message)
        except msgspec.DecodeError:
            pass  # an object of the application's own
        else:
            return Event(alias, found.event, Args(found.data) if len(found.data) else NO_ARGS)
    return Event(alias, "message", Args(message))
