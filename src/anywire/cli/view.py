"""View: how what happens in a talk looks: on a terminal, in a pipe, or as JSON lines. Pure.

>>> entry = Entry(type="text", data="hi")
>>> View(Style.TERMINAL).show(entry, 0.0).text
'< hi'
>>> View(Style.PIPE).show(entry, 0.0).text
'hi'
>>> View(Style.JSON).show(entry, 1700000000.0).text
'{"time":1700000000.0,"direction":"in","type":"text","data":"hi"}'
"""

import re
from collections.abc import Mapping
from enum import Enum, auto

import msgspec

from anywire.cli.entry import Entry

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BARE = re.compile(r"[\x7f-\x9f]")
"""Control characters that JSON does not have to escape."""
_GREEN, _YELLOW, _BLUE, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[39m"

_QUIT = "(press CTRL+C to quit)"


class Style(Enum):
    """For whom it is."""

    TERMINAL = auto()
    """A person who types: everything, marked as wscat marks it."""
    PIPE = auto()
    """Another program, or a script's reader: what was received and nothing else."""
    JSON = auto()
    """One object a line, for everything."""


class Shown(msgspec.Struct, frozen=True):
    """A line to write; errors in a pipe go to stderr."""

    text: str
    is_error: bool = False


class View:
    """Shows entries in one style.

    `escapes`: control characters are shown, also where the style would pass them on: stdout is a
    terminal, which what a server says must not be able to drive.
    """

    __slots__ = ("_escapes", "_has_colors", "_style")

    def __init__(self, style: Style, *, has_colors: bool = False, escapes: bool = False) -> None:
        self._style = style
        self._has_colors = has_colors
        self._escapes = escapes or style is Style.TERMINAL

    def show(self, entry: Entry, time: float) -> Shown | None:
        """The line for an entry, None where there is none; `time` is unix time."""
        if self._style is Style.JSON:
            line = _json({"time": round(time, 6), **_fields(entry)})
            return Shown(_BARE.sub(_as_json, line) if self._escapes else line)
        if entry.direction == "out" or entry.type == "welcome":
            return None
        text = _words(entry)
        is_error = entry.type == "error"
        if self._escapes or is_error:  # an error in a pipe goes to stderr, which people read
            text = _CONTROL.sub(_as_text, text)
        if self._style is Style.PIPE:
            if is_error or entry.type == "listening":
                return Shown(f"anywire: {text}" if is_error else text, is_error=True)
            return Shown(text) if entry.direction == "in" or entry.type == "pings" else None
        if entry.direction == "in":
            return Shown(self._colored(_BLUE, f"< {text}"))
        return Shown(
            self._colored(_YELLOW, f"error: {text}") if is_error else self._colored(_GREEN, text)
        )

    def _colored(self, color: str, text: str) -> str:
        return f"{color}{text}{_PLAIN}" if self._has_colors else text


def _fields(entry: Entry) -> dict[str, object]:
    fields = {
        name: getattr(entry, name) for name in ("direction", "type", "address", "event", "data")
    }
    return {
        name: value
        for name, value in fields.items()
        if value is not msgspec.UNSET and (value is not None or name == "data")
    }


def _words(entry: Entry) -> str:
    """An entry in words."""
    data, address, event = entry.data, entry.address, entry.event
    match entry.type:
        case "text" | "error" if isinstance(data, str):
            return data
        case "binary" if isinstance(data, bytes):
            return f"<binary, {len(data)} bytes> {data.hex()}"
        case "open":
            return "Client connected" if data == {"peer": "client"} else f"Connected {_QUIT}"
        case "listening" if isinstance(data, dict):
            return f"Listening on port {data['port']} {_QUIT}"
        case "close" if isinstance(data, dict):
            return f'Disconnected (code: {data["code"]}, reason: "{data["reason"]}")'
        case "ping" | "pong" if isinstance(data, dict):
            took = f" after {_ms(data['seconds'])} ms" if "seconds" in data else ""
            return f'Received {entry.type} (data: "{data["data"]}"){took}'
        case "pings" if isinstance(data, dict):
            return _summed_up(data)
        case "event":
            return _joined(address, event, _value(data))
        case "reply" | "item" | "end":
            return f"{entry.type} to {event}: {_value(data)}".removesuffix(": ")
        case kind:
            return _joined(kind, address, event, _value(data))


def _summed_up(pings: Mapping[str, float]) -> str:
    counts = f"{pings['sent']} pings, {pings['answered']} answered, {pings['loss']:.0%} lost"
    if "min" not in pings:
        return counts
    times = "/".join(_ms(pings[name]) for name in ("min", "avg", "max"))
    return f"{counts}, round trip min/avg/max {times} ms"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word)


def _value(data: object) -> str:
    return "" if data is msgspec.UNSET else _json(data)


def _as_text(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _as_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
