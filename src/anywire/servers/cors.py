"""CORS: what a page of another origin needs to read our answers (Fetch, 3.2). Pure.

Whether it may speak to us was decided before (`origin.py`); what may is answered with its own
origin and with credentials, never with `*`.
"""

from collections.abc import Sequence

from anywire.net.head import Request
from anywire.servers.static import Headers, Reply

YEAR = 31_536_000
"""Seconds for which a browser need not ask again; it asks anew for each origin."""
_EXPIRES = "Thu, 31 Dec 2099 23:59:59 GMT"


def cors(request: Request) -> Headers:
    """Headers of every answer to a page; none to what is no page."""
    origin = request.header("origin")
    if origin is None or not origin.isascii():  # no browser's
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]


def preflight(request: Request, methods: Sequence[str]) -> Reply:
    """The answer to a browser that asks what a page may send (Fetch, 4.8); `cors` comes with it."""
    headers = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Max-Age", str(YEAR)),
        ("Cache-Control", f"public, max-age={YEAR}"),
        ("Expires", _EXPIRES),
    ]
    asked = request.header("access-control-request-headers")
    if asked:
        headers.append(("Access-Control-Allow-Headers", asked))
    return Reply(204, headers)
