"""Frames as JSON, for vectors and transcripts: the name, and the fields that say something.

Left out are fields at their default, refs that are None and arguments that are none. Arguments are
the list of their values; bytes are `{"$bytes": base64}`.
"""

import base64
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from anywire import frames
from anywire.body import Args, Body
from anywire.frames import Frame, Outcome, Position, Since, Want

DATA = ("args", "data", "params", "credentials")
ENUMS: Mapping[str, type[Enum]] = {"outcome": Outcome, "want": Want}


def described(frame: Frame) -> dict[str, Any]:
    """This frame as JSON values."""
    told: dict[str, Any] = {"frame": type(frame).__name__}
    for info in msgspec.structs.fields(type(frame)):
        value = told_value(getattr(frame, info.name))
        if info.required:
            default: Any = [] if info.name in DATA else None
        elif info.default_factory is not msgspec.NODEFAULT:
            default = told_value(info.default_factory())
        else:
            default = told_value(info.default)
        if isinstance(value, dict) and info.name == "since":
            value = {name: item for name, item in value.items() if item not in (None, {})}
        if value != default:
            told[info.name] = value
    return told


def told_value(value: Any) -> Any:
    """One field as JSON values."""
    if isinstance(value, Args | Body):
        return plain(list(value.values() if isinstance(value, Args) else value.values))
    if isinstance(value, Enum):
        return value.name.lower()
    value = msgspec.to_builtins(value, enc_hook=str)  # refs may know more than their text
    return list(value) if isinstance(value, tuple) else value


def frame_of(told: Mapping[str, Any]) -> Frame:
    """The frame that was described."""
    kind = getattr(frames, told["frame"])
    fields: dict[str, Any] = {}
    for info in msgspec.structs.fields(kind):
        name = info.name
        if name not in told:
            if info.required:
                fields[name] = Body.of() if name in DATA else None
            continue
        value = told[name]
        if name in DATA:
            value = Body.of(*real(value))
        elif name in ENUMS:
            value = ENUMS[name][value.upper()]
        elif name == "position":
            value = Position(**value)
        elif name == "positions":
            value = {room: Position(**at) for room, at in value.items()}
        elif name == "since":
            value = msgspec.convert(value, Since)
        elif name == "streams":
            value = tuple(value)
        fields[name] = value
    frame: Frame = kind(**fields)
    return frame


def plain(value: Any) -> Any:
    """Values with bytes written as JSON can hold them."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def real(value: Any) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, dict):
        if value.keys() == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {name: real(item) for name, item in value.items()}
    return [real(item) for item in value] if isinstance(value, list) else value


def texted(value: Any) -> Any:
    """Described values as a wire delivers them that has text only: base64 in the place of bytes."""
    if isinstance(value, dict):
        if value.keys() == {"$bytes"}:
            return value["$bytes"]
        return {name: texted(item) for name, item in value.items()}
    return [texted(item) for item in value] if isinstance(value, list) else value
