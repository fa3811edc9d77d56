"""Room: where a publication becomes bytes once per lane and one reference per member.  HOT

A lane is the members of a room who are told the same thing in the same words: its key is (codec,
alias). A division is the part of a lane that shares one physical framing. Encode once is the shape
of this data, not a cache.

Budget: 0.5 µs per member of one publish, beside the write. A put never changes membership, so the
sets are never altered while they are walked.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from anywire.core.channel import Channel
from anywire.core.past import records
from anywire.core.presence import PRESENCE, presence_of
from anywire.frames import At, Position, Record, Since
from anywire.payload import Framing, Payload, Policy
from anywire.wires.base import Cap, Codec

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from anywire.core.gathering import Answers
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.session import Session


log = logging.getLogger(__name__)

RUN_BYTES = 32 * 1024
"""What is put together as one entry at most."""


class Division:
    """Members of one lane with one framing, in order of joining."""

    __slots__ = ("framing", "members")

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.members: dict[Member, Session] = {}


class Lane:
    """Members of one room who are told the same thing in the same words."""

    __slots__ = ("alias", "codec", "divisions")

    def __init__(self, codec: Codec, alias: str) -> None:
        self.codec = codec
        self.alias = alias
        self.divisions: dict[tuple[str, int], Division] = {}


class Room:
    """A room as applications hold it: publish to it, ask it, count it. Made by `app.room(name)` and
    `member.room`.
    """

    __slots__ = (
        "_alone",
        "_node",
        "channel",
        "delivered",
        "is_subscribed",
        "lanes",
        "lock",
        "name",
        "parked",
    )

    def __init__(self, node: "Node", name: str, channel: Channel | None) -> None:
        self._node = node
        self.name = name
        self.channel = channel
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.parked: dict[Member, None] = {}
        """Members that lanes do not reach yet: their join is not answered, or they are behind."""
        self._alone: dict[str, Room] | None = None
        self.is_subscribed = False
        """Whether the broker delivers this room to this node; changed under `lock`."""
        self.lock: AbstractAsyncContextManager[None] | None = None
        self.delivered: Position | None = None
        """Where the last numbered record stood that this node was given since it subscribed."""

    def __repr__(self) -> str:
        return f"Room({self.name!r})"

    async def publish(
        self,
        event: str,
        *args: object,
        but: "Member | Room | Iterable[Member | Room] | None" = None,
        id: str | None = None,
        volatile: bool = False,
    ) -> Position | None:
        """Tell every member, on every node; returns where it stands if the room keeps history.

        `but`: members, or whole rooms, that do not hear it. `id`: a second publish with it is not
        delivered. `volatile`: may be dropped for slow members, and is not kept. Never waits for a
        member. Raises ValueError for a reserved name, for values JSON cannot hold, and for others
        than `emits` declares.
        """
        return await self._node.publish(self, event, args, but=but, id=id, volatile=volatile)

    async def history(self, *, limit: int = 100, since: Since | None = None) -> Sequence[Record]:
        """What was published here and is kept, oldest first: the last `limit`, or all `since`."""
        return await records(self._node, self.name, since or Since(last=limit), limit)

    async def call(
        self,
        event: str,
        *args: object,
        timeout: float = 10.0,  # noqa: ASYNC109 (what came in time counts)
    ) -> "Answers":
        """Ask every member, on all nodes, and wait for the answers, at most `timeout` seconds."""
        return await self._node.questions.call(self, event, args, timeout=timeout)

    async def count(self) -> int:
        """Members on all nodes."""
        return await self._node.questions.count(self.name)

    async def move(self, room: "Room", *, stay: bool = False) -> int:
        """Have everyone in here, on all nodes, enter another room and leave this one; how many did.

        `stay`: they are in both. Nobody leaves the room of their own address.
        """
        return await self._node.questions.move(self.name, room.name, stay=stay)

    async def kick(self, text: str = "") -> int:
        """End the membership of everyone in this room, on all nodes; returns how many."""
        return await self._node.questions.kick(self.name, text)

    def add(self, member: "Member") -> None:
        """Deliver to this member from now on, or once its client has said where it stands."""
        self._node.settle()
        session = member.session
        if session.is_adrift and self.is_kept():
            member.strand(self)
            return
        key = (session.codec.name, member.alias)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(session.codec, member.alias)
        framing = session.framing
        division = lane.divisions.get(framing.key)
        if division is None:
            division = lane.divisions[framing.key] = Division(framing)
        division.members[member] = session

    def remove(self, member: "Member") -> None:
        """Deliver nothing more to this member; harmless for one that is not here."""
        self._node.settle()
        if member in self.parked:
            del self.parked[member]
            member.forget(self.name)
        session = member.session
        key = (session.codec.name, member.alias)
        lane = self.lanes.get(key)
        if lane is None:
            return
        division = lane.divisions.get(session.framing.key)
        if division is None or division.members.pop(member, None) is None:
            return
        if not division.members:
            del lane.divisions[session.framing.key]
            if not lane.divisions:
                del self.lanes[key]

    def alone(self) -> "Mapping[str, Room]":
        """The rooms of a member that is in this one only: one mapping for all of them."""
        if self._alone is None:
            self._alone = {self.name: self}
        return self._alone

    def forget_alone(self) -> None:
        """Nobody is in here: hold oneself no longer."""
        self._alone = None

    def is_empty(self) -> bool:
        """Whether nobody in this process hears this room."""
        return not self.lanes and not self.parked

    def is_kept(self) -> bool:
        """Whether it has a history."""
        return self.channel is not None and self.channel.keep is not None

    def members(self) -> "list[Member]":
        """Members of this process, in order of joining within each division; last the parked."""
        here = [
            member
            for lane in self.lanes.values()
            for division in lane.divisions.values()
            for member in division.members
        ]
        return here + list(self.parked)

    def may_wait(self, record: Record) -> bool:
        """Whether this publication may be put together with those that follow it."""
        channel = self.channel
        return (
            record.ref is None
            and not record.volatile
            and (channel is None or channel.policy is Policy.CLOSE)
        )

    def fan_out_run(self, run: "Sequence[tuple[Record, At]]") -> None:
        """Put publications that follow each other into the outboxes, as one entry per member.

        Each is encoded once per lane all the same. Sessions that may resume get them one by one,
        because they are counted.
        """
        if len(run) == 1 or sum(len(record.body.json) for record, _ in run) > RUN_BYTES:
            for record, at in run:
                self.fan_out(record, at)
            return
        node = self._node
        dirty = node.dirty
        for lane in self.lanes.values():
            encoded = [self._encoded(lane.codec, lane.alias, record, at) for record, at in run]
            payloads = [payload for payload in encoded if payload is not None]
            if not payloads:
                continue
            first = payloads[0]
            whole = Payload(first.data, is_text=first.is_text, rest=(*first.rest, *payloads[1:]))
            for division in lane.divisions.values():
                joined = whole.framed(division.framing)
                for session in division.members.values():
                    if not session.outbox.keeps:
                        if session.outbox.put(joined):
                            dirty.append(session)
                    else:
                        for payload in payloads:
                            if session.outbox.put(payload.framed(division.framing)):
                                dirty.append(session)
        if dirty:
            node.schedule()

    def fan_out(self, record: Record, at: At) -> None:
        """Put one publication into the outbox of everyone who hears it: the hot path, whole."""
        node = self._node
        dirty = node.dirty
        but = record.but
        for lane in self.lanes.values():
            payload = self._encoded(lane.codec, lane.alias, record, at)
            if payload is None:
                continue
            for division in lane.divisions.values():
                framed = payload.framed(division.framing)
                if not but:
                    for session in division.members.values():
                        if session.outbox.put(framed):
                            dirty.append(session)
                else:
                    for member, session in division.members.items():
                        if not member.is_in(but) and session.outbox.put(framed):
                            dirty.append(session)
        if dirty:
            node.schedule()

    def tell(self, member: "Member", record: Record, at: At) -> None:
        """Put one publication into the outbox of one member: one that lanes do not reach."""
        session = member.session
        payload = self._encoded(session.codec, member.alias, record, at)
        if payload is not None:
            session.enqueue(payload)

    def _encoded(self, codec: Codec, alias: str, record: Record, at: At) -> Payload | None:
        """What a lane is told; None, and a line in the log, where its codec cannot say it: that
        hurts this publication on this lane, and nobody else.
        """
        try:
            return self.encode(codec, alias, record, at)
        except Exception:
            log.exception('%s cannot say "%r" in %r', codec.name, record.event, self)
            return None

    def encode(self, codec: Codec, alias: str, record: Record, at: At) -> Payload:
        """What a lane is told about one record."""
        if record.event == PRESENCE:
            payload = codec.presence(alias, presence_of(alias, record))
        else:
            if at.ref is not None and not codec.caps & Cap.CALL:
                at = At(at.room, at.position, at.mark, None, at.volatile)
            payload = codec.event(alias, record.event, record.body, at)
        payload.volatile = record.volatile
        payload.room = self.name
        payload.key = record.key
        if self.channel is not None and self.channel.policy is not Policy.CLOSE:
            payload.policy = self.channel.policy
        return payload
