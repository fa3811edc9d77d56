"""Presence: who is here in one room, as joins and leaves with metas by key.

A key (a user's id, mostly) is present while at least one member stands under it; each member brings
one meta, a JSON text. A change of a meta is a leave of the old one and a join of the new one in the
same `Change`. What a member brings is its meta beside a ref that tells equal metas apart
(`referred`); on a wire that does not carry refs, who hears that one left takes away one that is
equal, and the outcome is right. Stores know nothing of that. Pure: no clock, no broker.

>>> here = Here()
>>> here.enter("n1", "ana", "n1.s.1", b'{"on":"phone"}').body().json
b'[{"joined":{"ana":[{"on":"phone"}]},"left":{}}]'
>>> here.list()
{'ana': [b'{"on":"phone"}']}
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from anywire.body import Body
from anywire.frames import Presence, Record

PRESENCE = "presence"
"""The reserved event under which a change travels as a record of its room."""


class Change:
    """Metas (JSON texts) by key that came and that went, in one step; false when there are none."""

    __slots__ = ("joined", "left", "stays")

    def __init__(self) -> None:
        self.joined: dict[str, list[bytes]] = {}
        self.left: dict[str, list[bytes]] = {}
        self.stays: dict[str, bytes] = {}
        """The newest meta of those who still stand under a key that one has left."""

    def __bool__(self) -> bool:
        return bool(self.joined or self.left)

    def body(self) -> Body:
        """What the record of this change says."""
        stays = b""
        if self.stays:
            pairs = [b"%b:%b" % (_json(key), text) for key, text in self.stays.items()]
            stays = b',"stays":{%b}' % b",".join(pairs)
        joined, left = _object(self.joined), _object(self.left)
        return Body(b'[{"joined":%b,"left":%b%b}]' % (joined, left, stays))


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
            if members:
                change.stays[key] = _newest(members)
            else:
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
            elif gone:
                change.stays[key] = _newest(members)
        del self._nodes[node]
        return change

    def has(self, node: str) -> bool:
        """Whether anyone here came by this node."""
        return self._nodes[node] > 0

    def list(self) -> dict[str, list[bytes]]:
        """Metas by key, keys and metas in order of entering."""
        return {key: [meta for _, meta in members.values()] for key, members in self._metas.items()}


def referred(member: str, meta: bytes) -> bytes:
    """A meta as it is stored and told: `["1Nq_x3k0uB2c",{"on":"phone"}]`.

    The ref is made of member and meta: the same ones have the same ref, whoever tells of them.
    """
    digest = hashlib.blake2b(b"%b %b" % (member.encode(), meta), digest_size=9).digest()
    return b'["%b",%b]' % (base64.urlsafe_b64encode(digest), meta)


def presence_of(alias: str, record: Record) -> Presence:
    """The frame that tells members at this alias what a presence record says. Raises ValueError."""
    try:
        said = msgspec.convert(record.body.one_value, _Said)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a presence record: {error}") from error
    return Presence(
        alias=alias,
        joined=_metas(said.joined),
        left=_metas(said.left),
        position=record.position,
        joined_refs=_refs(said.joined),
        left_refs=_refs(said.left),
        stays={key: meta for key, (_, meta) in said.stays.items()},
    )


def whole(alias: str, metas: Mapping[str, Sequence[bytes]]) -> Presence:
    """The frame that tells a member who is here, from what `PresenceStore.list` gave."""
    present = {key: [_pair(text) for text in texts] for key, texts in metas.items()}
    return Presence(
        alias=alias, joined=_metas(present), left={}, whole=True, joined_refs=_refs(present)
    )


Pair = tuple[str, Any]
"""A ref and its meta."""


class _Said(msgspec.Struct):
    joined: dict[str, list[Pair]]
    left: dict[str, list[Pair]]
    stays: dict[str, Pair] = {}


_pair = msgspec.json.Decoder(Pair).decode
_json = msgspec.json.Encoder().encode


def _newest(members: dict[str, tuple[str, bytes]]) -> bytes:
    return next(reversed(members.values()))[1]


def _metas(pairs: Mapping[str, list[Pair]]) -> dict[str, list[Any]]:
    return {key: [meta for _, meta in each] for key, each in pairs.items()}


def _refs(pairs: Mapping[str, list[Pair]]) -> dict[str, list[str]]:
    return {key: [ref for ref, _ in each] for key, each in pairs.items()}


def _object(metas: Mapping[str, list[bytes]]) -> bytes:
    pairs = [b"%b:[%b]" % (_json(key), b",".join(texts)) for key, texts in metas.items()]
    return b"{%b}" % b",".join(pairs)
