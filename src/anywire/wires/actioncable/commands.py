"""Commands: what a client says, and the event that a `message` means.

Action Cable protocol, `actioncable-v1-json`, Channel::Base. A command is a JSON object, `data` of a
message and the identifier are JSON texts in it.
"""

from typing import Any

import msgspec

from anywire.body import NO_ARGS, Args
from anywire.errors import ProtocolError
from anywire.frames import Event
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Message
from anywire.wires.surrogates import whole

ENVELOPE = 2
"""How deep what is inside a command may stand."""
CALLBACKS = frozenset(("subscribed", "unsubscribed"))
"""Methods of every channel of Rails that are no actions."""
RECEIVE = "receive"
"""The action of a message that names none."""


class Command(msgspec.Struct):
    """`{"command":"message","identifier":"{\\"channel\\":\\"ChatChannel\\"}","data":"{…}"}`; the
    last two are the extension's.
    """

    command: str = ""
    identifier: str = ""
    data: Any = None
    history: Any = None
    presence: Any = None


_command = msgspec.json.Decoder(Command).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode
_raw = msgspec.json.Decoder(msgspec.Raw).decode
_json = msgspec.json.Encoder().encode


def parse(message: Message, limits: Limits) -> Command:
    """The command in a message. Raises ProtocolError."""
    if isinstance(message, bytes):
        raise ProtocolError("a command is text", code=1003)
    if len(message) > limits.message or (
        not message.isascii() and len(message.encode(errors="replace")) > limits.message
    ):
        raise ProtocolError(f"a message has at most {limits.message} bytes", code=1009)
    if is_too_deep_json(message, limits.nesting + ENVELOPE):
        raise ProtocolError(f"a payload nests at most {limits.nesting} deep", code=4400)
    try:
        return _command(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        mended = whole(message)
        if mended is not None:
            return parse(mended, limits)
        raise ProtocolError("a command is a JSON object", code=4400) from error


def event_of(alias: str, data: object, limits: Limits) -> Event | None:
    """The event in the data of a message; None where Rails runs nothing.

    The one that its `action` names, with all other members; without an action it is `message`, or
    has its name as we write it (`{"event":"said","data":…}`). Raises ProtocolError.
    """
    if not isinstance(data, str):
        raise ProtocolError("the data of a message is JSON in text", code=4400)
    if is_too_deep_json(data, limits.nesting + 1):
        raise ProtocolError(f"a payload nests at most {limits.nesting} deep", code=4400)
    try:
        if data.lstrip()[:1] != "{":
            return Event(alias, "message", Args(_raw(data)))
        members = _members(data)
        action = members.pop("action", None)
        if action is not None:
            return _performed(alias, _value(action), members)
        if "event" in members and len(members) == 1 + ("data" in members):
            name = _value(members["event"])
            if isinstance(name, str):
                args = Args(members["data"]) if "data" in members else NO_ARGS
                return Event(alias, name, args)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        mended = whole(data)
        if mended is not None:
            return event_of(alias, mended, limits)
        raise ProtocolError("the data of a message is no JSON", code=4400) from error
    return Event(alias, "message", Args(data))


def _performed(alias: str, action: object, members: dict[str, msgspec.Raw]) -> Event | None:
    """An action and what it is given; one that is blank is none."""
    if action is None or action is False:
        action = ""
    if not isinstance(action, str) or action in CALLBACKS:
        return None
    name = "message" if action == RECEIVE or not action.strip() else action
    return Event(alias, name, Args(_json(members)))
