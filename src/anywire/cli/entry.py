"""Entry: one thing that happened in a talk, before anybody decides how to show it."""

from enum import IntEnum

import msgspec


class Exit(IntEnum):
    """Exit codes of `anywire talk`, for scripts."""

    MEANT = 0
    """Closed by us, or by the server with 1000."""
    UNREACHED = 1
    USAGE = 2
    REFUSED = 3
    """401, 403, 1008, 4401, 4403, a refused join or, in a script, a refused message."""
    CUT = 4
    """The connection broke, was closed with another code, or something took too long."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened; `event` and `address` stand where it has them."""

    direction: str = "in"
    """`in`, `out`, or `here` for what is no message."""
    type: str
    address: str | None = None
    event: str | None = None
    data: object = msgspec.UNSET


def listening(port: int) -> Entry:
    """We wait for clients."""
    return Entry(direction="here", type="listening", data={"port": port})


def opened(peer: str = "server") -> Entry:
    """The connection stands; `peer` is who is at the other end: `server` or `client`."""
    data = msgspec.UNSET if peer == "server" else {"peer": peer}
    return Entry(direction="here", type="open", data=data)


def closed(code: int, reason: str) -> Entry:
    """It is gone."""
    return Entry(direction="here", type="close", data={"code": code, "reason": reason})


def probed(kind: str, data: bytes, *, direction: str = "in", seconds: float | None = None) -> Entry:
    """A `ping` or a `pong`; `seconds`: how long the one of ours took that it answers."""
    about: dict[str, object] = {"data": data.decode(errors="replace")}
    if seconds is not None:
        about["seconds"] = seconds
    return Entry(direction=direction, type=kind, data=about)


def failed(text: str) -> Entry:
    """Something is wrong that does not end the talk."""
    return Entry(direction="here", type="error", data=text)


def exit_for(code: int) -> Exit:
    """The exit code after a close by the server; 1005 is a close that named no code."""
    if code in (1000, 1005):
        return Exit.MEANT
    return Exit.REFUSED if code in (1008, 4401, 4403) else Exit.CUT
