"""Ownership: which node a session belongs to, from any of its requests.

An id that we minted begins with the sign of the node that did. An id that says nothing of that
stands in the directory: one that a client minted, whose first request goes to the node that
rendezvous hashing names, so that requests that race meet there; and one that a wire gave away
before its session began, which it does where its first request lands. A node that is gone owns
nothing.
"""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from anywire.wires.base import Opening, Wire

if TYPE_CHECKING:
    from anywire.core.node import Node


def sign_of(session: str) -> str:
    """The node that minted this id."""
    return session.partition(".")[0]


def rendezvous(nodes: Iterable[str], key: str) -> str:
    """The node that all nodes name for this key (highest random weight); "" of none.

    When a node comes or goes, only the keys it wins or won have another one.
    """

    def weight(node: str) -> tuple[bytes, str]:
        return hashlib.blake2b(f"{node} {key}".encode(), digest_size=8).digest(), node

    return max(nodes, key=weight, default="")


async def owner_of(node: "Node", wire: Wire, opening: Opening) -> str:
    """Who owns the session of this opening; this node where the owner is gone or unknown, or has no
    door.

    Suspends for ids only that stand in the directory.
    """
    alive = {other for other, door in node.nodes.doors().items() if door or other == node.id}
    if not opening.is_claimed:
        owner = sign_of(opening.session)
        return owner if owner in alive else node.id
    found = node.sessions.get(opening.session)
    if found is not None and found.wire is wire:
        return node.id
    standing = await node.directory.owner(wire.name, opening.session)
    if standing is not None and standing in alive:
        return standing
    if opening.token:
        return node.id  # nobody else has been asked for it: it begins where it lands
    return rendezvous(alive, f"{wire.name} {opening.session}") or node.id
