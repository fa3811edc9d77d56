"""Admission: what a host asks before it attaches anybody: the wire first, then who it is.

Origin and rates are checked before this, by the host; the answer to a refusal is in the wire's own
words.
"""

import logging
import secrets
from typing import TYPE_CHECKING

import msgspec

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

_ROLES = (Role.NEW, Role.RESUME)
"""What the core can do for an opening; there is no session that another role could be part of."""

log = logging.getLogger(__name__)


class Admitted(msgspec.Struct):
    """Somebody may come in: accept with `opening.subprotocol`, then call `Node.open`."""

    opening: Opening
    machine: Machine
    user: User


async def admit(node: "Node", wire: Wire, hello: Hello) -> Admitted | Answer:
    """Open the wire and authenticate; does not suspend unless `authenticate` does."""
    if node.is_stopping:
        return wire.refuse(hello, Why(Reason.STOPPING, text="the server stops"))
    opening = wire.open(hello)
    if isinstance(opening, Answer):
        return opening
    if opening.machine is None or opening.role not in _ROLES:
        return wire.refuse(hello, Why(Reason.UNKNOWN, text="no such session"))
    if opening.auth is Identity.FRAME:
        return Admitted(opening, opening.machine, User("", is_anonymous=True))
    try:
        user = await node.authenticated(hello)
    except Refused as refused:
        why = Why(Reason.FORBIDDEN, code=refused.code, text=refused.text, data=refused.data)
        return wire.refuse(hello, why)
    except Exception:
        id = secrets.token_hex(4)
        log.exception("authenticate failed, told as internal %s", id)
        text = f"the server failed; its log has the cause under {id}"
        return wire.refuse(hello, Why(Reason.FAILED, code="internal", text=text, data={"id": id}))
    return Admitted(opening, opening.machine, user)
