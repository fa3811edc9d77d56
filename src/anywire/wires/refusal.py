"""Saying no to an opening request: what wires that upgrade have in common, and no wire has to use.

Browsers see no HTTP status of a failed upgrade, so most refusals are an upgrade and a close.
"""

from collections.abc import Container

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
STATUSES = {
    Reason.UNKNOWN: 404,
    Reason.OWNER_GONE: 404,
    Reason.FORBIDDEN: 403,
    Reason.TAKEN: 409,
    Reason.LIMIT: 429,
    Reason.FAILED: 500,
    Reason.BUSY: 503,
    Reason.STOPPING: 503,
}
"""… and HTTP statuses, where no close code can be read."""


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
