"""Errors: everything anywire raises on purpose, in one tree.

Three kinds matter to a peer: `ProtocolError` (the peer broke the rules; the connection closes with
the wire's code), `Refused` (the application says no; code and text reach the client), and anything
else (a bug; the client hears `internal` and an id that stands in the log beside the traceback).
"""

FAULTS = frozenset((1002, 1003, 1007, 1009, 4400))
"""Close codes of a peer that broke the rules."""


class AnywireError(Exception):
    """Base of all errors that anywire raises on purpose."""


def close_reason(text: str) -> str:
    """The text, cut to the 123 bytes of UTF-8 that a close frame holds (RFC 6455, 5.5 and 5.5.1).

    >>> len(close_reason("€" * 100))
    41
    """
    return text.encode(errors="replace")[:123].decode(errors="ignore")


class ProtocolError(AnywireError):
    """The peer sent what its protocol does not allow.

    `reason` is fit to be told to the peer (no secrets, under 124 bytes of UTF-8); `code` is a
    WebSocket close code (RFC 6455, 7.4), by default 1002.
    """

    def __init__(self, reason: str, *, code: int = 1002) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Refused(AnywireError):
    """No, said on purpose: by the application to a client, or by the server to our client.

    `code` is for programs, `text` for people, `data` for whatever else the client needs (JSON
    values).

    >>> raise Refused("staff_only", "this room is for staff", data={"room": "staff"})
    Traceback (most recent call last):
    anywire.errors.Refused: staff_only: this room is for staff
    """

    def __init__(self, code: str, text: str = "", *, data: object = None) -> None:
        code, text = as_text(code), as_text(text)
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text
        self.data = data


class CallFailed(AnywireError):
    """A call got no answer.

    `timeout`, `lost` (the session ended first), or the peer's own error code.
    """

    def __init__(self, code: str, text: str = "", *, data: object = None) -> None:
        code, text = as_text(code), as_text(text)
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text
        self.data = data


class Unsupported(AnywireError):
    """This wire or host cannot do what was asked; the message names both and what can."""


class Closed(AnywireError):
    """The connection, session or client is closed; `code` and `reason` say why (RFC 6455, 7.4)."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"closed with code {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason


class ConfigurationError(AnywireError):
    """The application, an option or the machine is not set up as it must be.

    Found at start, said in one line.
    """


def as_text(text: str) -> str:
    """The text, fit to be sent: what is no character (a lone surrogate) becomes `?`."""
    return text if text.isascii() else text.encode(errors="replace").decode()
