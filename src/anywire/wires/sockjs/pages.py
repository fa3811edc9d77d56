"""What SockJS answers without a session: the greeting, `/info`, the page of an iframe, refusals.

SockJS protocol 0.3.3, "Static URLs".
"""

import hashlib
from html import escape

import msgspec

from anywire.wires.base import Answer, Hello
from anywire.wires.sockjs.carriers import UNCACHED

NO_UPGRADE = Answer(
    status=400,
    headers=(("Content-Type", "text/plain; charset=UTF-8"),),
    body=b'Can "Upgrade" only to "WebSocket".',
)
GREETING = Answer(
    headers=(("Content-Type", "text/plain; charset=UTF-8"),), body=b"Welcome to SockJS!\n"
)
_INFO = (("Content-Type", "application/json; charset=UTF-8"), UNCACHED)
_FOR_A_YEAR = (
    ("Cache-Control", "public, max-age=31536000"),
    ("Expires", "Thu, 31 Dec 2099 23:59:59 GMT"),
)
_HTML = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="%s"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""
"""The page as the protocol prescribes it, word for word ("IFrame page")."""


def info(hello: Hello, *, has_websocket: bool, needs_cookie: bool) -> Answer:
    """What a client asks first: what there is here, and something to make names of sessions from.

    "Info test": pages had no good randomness of their own once.
    """
    about = {
        "websocket": has_websocket,
        "origins": ["*:*"],
        "cookie_needed": needs_cookie,
        "entropy": int.from_bytes(hello.seed[:4], "big"),  # no session is made from this seed
    }
    return Answer(headers=_INFO, body=msgspec.json.encode(about))


class Iframe:
    """The page that brings the client into a frame of the server's origin. `url`: the client's."""

    __slots__ = ("_body", "_tag")

    def __init__(self, url: str) -> None:
        self._body = (_HTML % escape(url)).encode()
        self._tag = f'"{hashlib.blake2b(self._body, digest_size=12).hexdigest()}"'

    def answer(self, hello: Hello) -> Answer:
        """The page, or 304 to who has it (RFC 9110, 13.1.2)."""
        headers = (*_FOR_A_YEAR, ("ETag", self._tag))
        known = hello.headers.get("if-none-match", "").split(",")
        if any(tag.strip().removeprefix("W/") in (self._tag, "*") for tag in known):
            return Answer(status=304, headers=headers)
        return Answer(
            headers=(("Content-Type", "text/html; charset=UTF-8"), *headers), body=self._body
        )


def not_allowed(method: str) -> Answer:
    """405: this path takes this method, and what a browser asks before it."""
    return Answer(status=405, headers=(("Allow", f"OPTIONS, {method}"),))
