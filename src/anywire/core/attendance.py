"""Attendance: the members of this node that are listed as present, and that this node lives."""

from typing import TYPE_CHECKING

from anywire.body import Body
from anywire.core.clock import Deadline
from anywire.core.presence import referred, whole

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.room import Room

LEASE = 45.0
"""Seconds a node's presence outlives its last sign of life; renewed three times as often."""
RELIST = 1.0
"""Seconds after which everybody is told who is present, when deliveries were broken: by then every
node has told what it knows."""


class Attendance:
    """What one node tells the presence store."""

    __slots__ = ("_node", "_relisting", "_renewal")

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._relisting: set[str] = set()
        self._renewal: Deadline | None = None

    def start(self) -> None:
        """Tell the store that this node lives, and again three times per lease."""
        node = self._node
        node.spawn(node.presence.renew(node.id, LEASE), "anywire renew")
        self._renewal = node.deadlines.at(node.now() + LEASE / 3, self.start)

    def stop(self) -> None:
        """Tell it no more."""
        if self._renewal is not None:
            self._node.deadlines.cancel(self._renewal)
            self._renewal = None

    async def track(self, member: "Member") -> None:
        """List a member as present in its address's room."""
        node, room, keep = self._node, member.room.name, member.channel.keep
        key = member.channel.presence
        if member.presence_key is None:
            name: object = key(member) if callable(key) else member.user.id
            if not isinstance(name, str):
                raise TypeError(f"a presence key is a str, not {name!r:.80}")
            member.presence_key = name
        name = member.presence_key
        meta = referred(member.id, Body.of(member.meta or {}).json[1:-1])
        await node.presence.enter(room, node.id, name, member.id, meta, LEASE, keep)
        if member.has_left or member.presence_key is None:  # meanwhile: nobody else takes it off
            await node.presence.exit(room, node.id, name, member.id, keep)

    async def untrack(self, member: "Member") -> None:
        """Take a member off the list, while it stays a member."""
        key, member.presence_key = member.presence_key, None
        if key is not None:
            node, room, keep = self._node, member.room.name, member.channel.keep
            await node.presence.exit(room, node.id, key, member.id, keep)

    def relist(self, room: str) -> None:
        """Deliveries of this room were broken: tell its members soon who is here, whole."""
        if not self._relisting:
            self._node.deadlines.at(self._node.now() + RELIST, self._relist)
        self._relisting.add(room)

    def _relist(self) -> None:
        node = self._node
        names, self._relisting = self._relisting, set()
        for name in names:
            if name in node.rooms and not node.is_stopping:
                node.spawn(self._tell(node.rooms[name]), "anywire presence")

    async def tell(self, member: "Member") -> None:
        """Tell one member who is here: it asked."""
        member.say(whole(member.alias, await self._node.presence.list(member.room.name)))

    async def _tell(self, room: "Room") -> None:
        present = await self._node.presence.list(room.name)
        for member in room.members():
            if member.room is room:
                member.say(whole(member.alias, present))
