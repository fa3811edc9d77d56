"""Admission: what a host asks before it attaches anybody: the wire first, then who it is.

Origin and rates are checked before this, by the host; the answer to a refusal is in the wire's own
words.
"""

import logging
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from anywire.core.ownership import owner_of
from anywire.errors import Refused
from anywire.wires.base import (
    Answer,
    Hello,
    Identity,
    Machine,
    Opening,
    Reason,
    Role,
    User,
    Why,
    Wire,
)

if TYPE_CHECKING:
    from anywire.core.node import Node

log = logging.getLogger(__name__)


class Admitted(msgspec.Struct):
    """Somebody may come in: accept with `opening.subprotocol`, then call `Node.open`."""

    opening: Opening
    machine: Machine
    user: User


class Attached(msgspec.Struct):
    """One more request of a session that stands here."""

    session: Any
    opening: Opening


class Elsewhere(msgspec.Struct):
    """The session belongs to another node: its door takes the request, or the socket.

    Nobody has authenticated, unless `user` is set. Where it needs that, who passes the request on
    does it, and the owner takes the user from the hello; who hands the socket over leaves it to the
    owner. So it is done once: credentials may be good for one time only.
    """

    node: str
    needs_user: bool
    user: User | None = None
    """Who it is, where that is known: then the socket cannot be handed over."""


Admission = Admitted | Attached | Elsewhere | Answer


async def admit(node: "Node", wire: Wire, hello: Hello) -> Admission:
    """Open the wire, find whose session it is, and authenticate.

    Suspends only if `authenticate` does, or to find the owner of an id that a client minted.
    """
    if node.is_stopping:
        return wire.refuse(hello, Why(Reason.STOPPING, text="the server stops"))
    opening = wire.open(hello)
    if isinstance(opening, Answer):
        return opening
    if opening.credentials is not None:
        hello.credentials = opening.credentials
    if opening.carrier is not None:
        hello.carrier = opening.carrier
    role, is_made_up = opening.role, opening.is_claimed and not opening.token
    try:
        if role is not Role.NEW or opening.is_claimed:
            node.counters.requests += not hello.hops
            owner = await owner_of(node, wire, opening)
            if owner != node.id and not hello.hops:
                return Elsewhere(owner, role is Role.RESUME or is_made_up)
            if role is not Role.NEW and role is not Role.RESUME:
                attached = await _attached(node, wire, hello, opening)
                if attached is not None:
                    return attached
        has_ended = opening.is_claimed and not is_made_up and not _may_begin(node, opening)
        if opening.machine is None or role is Role.UPLINK or has_ended:
            return wire.refuse(hello, Why(Reason.UNKNOWN, text="no such session"))
        if opening.auth is Identity.FRAME:
            user = User("", is_anonymous=True)
        else:
            user = await node.authenticated(hello)
        if opening.is_claimed and not (role is Role.RESUME and opening.session in node.sessions):
            standing = await node.claim(wire, opening.session, user)
            if standing != node.id:
                if not hello.hops:
                    return Elsewhere(standing, needs_user=True, user=user)
                return wire.refuse(hello, Why(Reason.BUSY, text="another node opens it; try again"))
        if opening.session in node.sessions:
            if role is not Role.RESUME:
                return _raced(node, wire, hello, opening, user)
            if opening.is_claimed and not node.resumable(wire, opening, opening.machine, user):
                return wire.refuse(hello, Why(Reason.UNKNOWN, text="no such session"))
    except Refused as refused:
        log.info("%s at %.200r was refused: %.300r", wire.name, hello.path, str(refused))
        why = Why(Reason.FORBIDDEN, code=refused.code, text=refused.text, data=refused.data)
        return wire.refuse(hello, why)
    except Exception:
        id = secrets.token_hex(4)
        log.exception("authenticate failed, told as internal %s", id)
        text = f"the server failed; its log has the cause under {id}"
        return wire.refuse(hello, Why(Reason.FAILED, code="internal", text=text, data={"id": id}))
    return Admitted(opening, opening.machine, user)


async def _attached(
    node: "Node", wire: Wire, hello: Hello, opening: Opening
) -> Attached | Answer | None:
    """The session here that this request is part of. Raises Refused for another identity."""
    session = node.sessions.get(opening.session)
    if session is None or session.wire is not wire:
        return None
    if opening.is_claimed and not opening.token:
        user = await node.authenticated(hello)
        if not user.is_same(session.user):
            raise Refused("refused", "this session belongs to someone else")
    elif not session.accepts(opening.token):
        return None
    elif session.is_replaced(opening.token):
        # What was on its way when the session was resumed is repeated under the new secret.
        text = "a newer connection goes on with this session"
        return wire.refuse(hello, Why(Reason.TAKEN, text=text))
    return Attached(session, opening)


def _may_begin(node: "Node", opening: Opening) -> bool:
    """Whether a request whose id was given away before may find or begin a session here."""
    if opening.session in node.sessions:
        return True
    return opening.may_begin and not node.has_ended(opening.session)


def _raced(
    node: "Node", wire: Wire, hello: Hello, opening: Opening, user: User
) -> Attached | Answer:
    """A session stands under the id of what would be a new one: another request was first."""
    session = node.sessions[opening.session]
    if opening.is_claimed and session.wire is wire and user.is_same(session.user):
        if opening.role is Role.DOWNLINK:
            return Attached(session, opening)
        return wire.refuse(hello, Why(Reason.TAKEN, text="this session has a connection"))
    return wire.refuse(hello, Why(Reason.UNKNOWN, text="no such session"))
