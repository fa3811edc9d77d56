"""Slash: the commands for control frames that may be typed into a talk, as wscat has them. Pure.

>>> parse("/close 4001 come again")
Goodbye(code=4001, reason='come again')
"""

from dataclasses import dataclass

from anywire.net.rfc6455 import is_close_code

COMMANDS = ("/ping", "/pong", "/close")
_CONTROL = 125
_REASON = 123
"""Bytes that a control frame, and the reason in a close frame, may have (RFC 6455, 5.5)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A ping or a pong to send."""

    is_ping: bool
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """A close frame to send."""

    code: int = 1000
    reason: str = ""


Command = Probe | Goodbye


def parse(line: str) -> Command:
    """The command of a line that begins with a slash. Raises ValueError, in words for the user."""
    name, *words = line.split()
    if name in ("/ping", "/pong"):
        data = words[0].encode() if words else b""
        if len(data) > _CONTROL:
            raise ValueError(f"a ping or pong has at most {_CONTROL} bytes, not {len(data)}")
        return Probe(name == "/ping", data)
    if name != "/close":
        raise ValueError(f"there is no command {name}; known: {', '.join(COMMANDS)}")
    if not words:
        return Goodbye()
    code = int(words[0]) if words[0].isascii() and words[0].isdigit() else 0
    if not is_close_code(code):
        raise ValueError(
            f"a close code is 1000 to 1003, 1007 to 1014 or 3000 to 4999, not {words[0]!r}"
        )
    reason = " ".join(words[1:])
    if len(reason.encode()) > _REASON:
        raise ValueError(f"the reason of a close has at most {_REASON} bytes")
    return Goodbye(code, reason)
