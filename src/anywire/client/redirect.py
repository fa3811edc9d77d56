"""Redirects of an opening handshake: where to ask next, and what may travel there. Pure.

A redirect is the word of a server about another one. What the caller meant for the first server
(headers, the name and password of the URL) therefore stays with the first origin, and what began
encrypted goes on encrypted (RFC 9110, 15.4; RFC 6454).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from anywire.net.handshake import BadUrl, HandshakeError, Target, parse_url
from anywire.net.http1 import Response

STATUSES = frozenset((301, 302, 303, 307, 308))
_ANYWHERE = frozenset(("accept-language", "user-agent"))
"""Headers of the caller that say nothing of who it is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A handshake as it is asked for: of whom, and with which headers."""

    target: Target
    headers: tuple[tuple[str, str], ...] = ()
    is_first_origin: bool = True
    """Never true again once a redirect led elsewhere."""


def pairs(headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers in either form as pairs, in order."""
    return tuple(headers.items() if isinstance(headers, Mapping) else headers)


def follow(asked: Asked, response: Response) -> Asked | None:
    """What to ask next; None when this is no redirect.

    Raises HandshakeError for one that must not be followed, or leads nowhere.
    """
    where = response.header("location")
    if response.status not in STATUSES or where is None:
        return None
    before = asked.target
    try:
        target = parse_url(urljoin(_url(before), where.strip()))
    except (BadUrl, ValueError) as error:
        raise _not_followed(response, f"its Location cannot be connected to: {error}") from None
    if before.is_secure and not target.is_secure:
        raise _not_followed(response, "it leads from an encrypted address to one that is not")
    if _origin(target) == _origin(before):
        return replace(asked, target=replace(target, userinfo=before.userinfo))
    return Asked(
        replace(target, userinfo=None),
        tuple(header for header in asked.headers if header[0].lower() in _ANYWHERE),
        is_first_origin=False,
    )


def too_many(response: Response, most: int) -> HandshakeError:
    """One redirect more than `most`."""
    return _not_followed(response, f"{most} went before it (max_redirects)")


def _not_followed(response: Response, why: str) -> HandshakeError:
    status = response.status
    text = f"the server answered {status}; the redirect is not followed: {why}"
    return HandshakeError(status, text, response)


def _url(target: Target) -> str:
    return f"{target.scheme}://{target.authority}{target.resource}"


def _origin(target: Target) -> tuple[bool, str, int]:
    return target.is_secure, target.host, target.port
