"""Presence: who is here in one room, as joins and leaves with metas by key.

A key (a user's id, mostly) is present while at least one member stands under it; each member brings
one meta, a JSON text. A change of a meta is a leave of the old one and a join of the new one in the
same `Change`. Metas carry no identity on the way to clients: who hears that one left takes away one
that is equal, and as equal metas cannot be told apart the outcome is right. Pure: no clock, no
broker.

>>> here = Here()
>>> here.enter("n1", "ana", "n1.s.1", b'{"on":"phone"}').body().json
b'[{"joined":{"ana":[{"on":"phone"}]},"left":{}}]'
>>> here.list()
{'ana': [b'{"on":"phone"}']}
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from anywire.body import Body
from anywire.frames import Presence, Record

PRESENCE = "presence"
"""The reserved event under which a change travels as a record of its room."""


class Change:
    """Metas (JSON texts) by key that came and that went, in one step; false when there are none."""

    __slots__ = ("joined", "left")

    def __init__(self) -> None:
        self.joined: dict[str, list[bytes]] = {}
        self.left: dict[str, list[bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self.joined or self.left)

    def body(self) -> Body:
        """What the record of this change says."""
        return Body(b'[{"joined":%b,"left":%b}]' % (_object(self.joined), _object(self.left)))


class Here:
    """Who is in one room, over all nodes; false when it is nobody."""

    __slots__ = ("_metas", "_nodes")

    def __init__(self) -> None:
        self._metas: dict[str, dict[str, tuple[str, bytes]]] = {}  # key: member: (node, meta)
        self._nodes: Counter[str] = Counter()  # members by node

    def __bool__(self) -> bool:
        return bool(self._metas)

    def enter(self, node: str, key: str, member: str, meta: bytes) -> Change:
        """Add a member under the key, or change its meta in its place."""
        change = Change()
        members = self._metas.setdefault(key, {})
        before = members.get(member)
        members[member] = (node, meta)
        self._nodes[node] += 1
        if before is not None:
            self._nodes[before[0]] -= 1
            if before[1] == meta:
                return change
            change.left[key] = [before[1]]
        change.joined[key] = [meta]
        return change

    def exit(self, key: str, member: str) -> Change:
        """Take one member away from the key."""
        change = Change()
        members = self._metas.get(key)
        if members is not None and member in members:
            node, meta = members.pop(member)
            self._nodes[node] -= 1
            change.left[key] = [meta]
            if not members:
                del self._metas[key]
        return change

    def exit_node(self, node: str) -> Change:
        """Take away everyone who came by this node: its lease has run out."""
        change = Change()
        for key, members in list(self._metas.items()):
            gone = [member for member, (by, _) in members.items() if by == node]
            for member in gone:
                change.left.setdefault(key, []).append(members.pop(member)[1])
            if not members:
                del self._metas[key]
        del self._nodes[node]
        return change

    def has(self, node: str) -> bool:
        """Whether anyone here came by this node."""
        return self._nodes[node] > 0

    def list(self) -> dict[str, list[bytes]]:
        """Metas by key, keys and metas in order of entering."""
        return {key: [meta for _, meta in members.values()] for key, members in self._metas.items()}


def presence_of(alias: str, record: Record) -> Presence:
    """The frame that tells members at this alias what a presence record says. Raises ValueError."""
    said = record.body.one_value
    if not isinstance(said, dict):
        raise ValueError("a presence record holds one object")
    joined, left = _lists(said.get("joined")), _lists(said.get("left"))
    return Presence(alias=alias, joined=joined, left=left, position=record.position)


def whole(alias: str, metas: Mapping[str, Sequence[bytes]]) -> Presence:
    """The frame that tells a member who is here, from what `PresenceStore.list` gave."""
    joined = {key: [msgspec.json.decode(meta) for meta in texts] for key, texts in metas.items()}
    return Presence(alias=alias, joined=joined, left={}, whole=True)


def _object(metas: Mapping[str, list[bytes]]) -> bytes:
    pairs = [
        b"%b:[%b]" % (msgspec.json.encode(key), b",".join(texts)) for key, texts in metas.items()
    ]
    return b"{%b}" % b",".join(pairs)


def _lists(said: object) -> dict[str, list[Any]]:
    if not isinstance(said, dict) or not all(isinstance(metas, list) for metas in said.values()):
        raise ValueError("a presence record holds lists of metas by key")
    return cast(dict[str, list[Any]], said)
