"""Names: what an identifier means, and how the name of a Rails channel is spelt in an address.

Action Cable, Channel::Naming. An identifier is text, a JSON object: `channel` and its parameters.

>>> address_of("Chats::WebRoomChannel")
'chats:web_room'
>>> address_of("chat:lobby")
'chat:lobby'
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from anywire.limits import Limits
from anywire.nesting import is_too_deep_json

_CONSTANT = re.compile(r"[A-Z][A-Za-z0-9_]*(?:::[A-Z][A-Za-z0-9_]*)*")
_WORD = re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z0-9])(?=[A-Z])")
_SUFFIX = "Channel"

_object = msgspec.json.Decoder(dict[str, Any]).decode


def address_of(channel: str) -> str:
    """The name of a Ruby class as Rails makes a channel's name of it; any other name as it is."""
    if _CONSTANT.fullmatch(channel) is None:
        return channel
    name = channel.removesuffix(_SUFFIX).replace("::", ":")
    return _WORD.sub("_", name).lower() if name.strip(":") else channel


def parsed(identifier: str, limits: Limits) -> tuple[str, Mapping[str, object]] | None:
    """The name of the channel and what stands beside it; None for what names no channel."""
    if is_too_deep_json(identifier, limits.nesting + 1):
        return None
    try:
        parts = _object(identifier)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    channel = parts.pop("channel", None)
    return (channel, parts) if isinstance(channel, str) and channel else None
