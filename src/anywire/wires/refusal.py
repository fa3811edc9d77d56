"""Saying no to an opening request: what wires that upgrade have in common, and no wire has to use.

Browsers see no HTTP status of a failed upgrade, so most refusals are an upgrade and a close.
"""

from collections.abc import Container

from anywire.errors import Unsupported
from anywire.payload import Carrier
from anywire.wires.base import Answer, Hello, Reason, Why

CODES = {
    Reason.UNKNOWN: 1013,
    Reason.TAKEN: 4409,
    Reason.BUSY: 1013,
    Reason.OWNER_GONE: 1013,
    Reason.FORBIDDEN: 4401,
    Reason.LIMIT: 1013,
    Reason.STOPPING: 1001,
    Reason.FAILED: 1011,
}
"""Close codes of refusals before a session stands; a foreign origin gets a plain HTTP answer."""


def answer(status: int, text: str) -> Answer:
    """A plain HTTP answer: one line for people."""
    headers = (("content-type", "text/plain; charset=utf-8"),)
    return Answer(status=status, headers=headers, body=f"{text}\n".encode())


def foreign(why: Why) -> Answer:
    """The answer to a page of an origin that may not connect: never an upgrade."""
    return answer(403, why.text or "this origin may not connect")


def words(why: Why) -> str:
    """What a close frame says of it; to be cut to what one holds."""
    return why.text or why.code or why.reason.value.replace("_", " ")


def chosen(hello: Hello, known: Container[str]) -> str | None:
    """The first known one of the client's subprotocols."""
    for offer in hello.subprotocols:
        if offer in known:
            return offer
    return None


def count(text: str) -> int | None:
    """The count that a query's member says; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def no_route(wire: str, carrier: Carrier, has: str = "websocket") -> Unsupported:
    """The error of a wire that is asked for the bodies of a carrier it does not have."""
    return Unsupported(f"the {wire} wire has no route for {carrier.value}; it has: {has}")
