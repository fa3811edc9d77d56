"""Questions: what is asked of all nodes or of a room's members, and what this node answers."""

import logging
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import msgspec

from anywire.brokers.base import Ask, Question
from anywire.core.channel import Left
from anywire.core.gathering import Answers, Gathering
from anywire.errors import Refused
from anywire.frames import Reply, pack_record, unpack_record

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.room import Room
    from anywire.core.session import Session

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that other nodes have for an answer."""

_Gathered = tuple[list[object], list[str], list[str]]


class Questions:
    """Questions of one node and to it."""

    __slots__ = ("_gathering", "_node")

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._gathering: dict[str, Gathering] = {}

    async def count(self, room: str) -> int:
        """Members of a room on all nodes."""
        return await self._summed(Question(ask=Ask.COUNT, room=room))

    async def kick(self, room: str, text: str) -> int:
        """End the membership of everyone in a room, on all nodes."""
        return await self._summed(Question(ask=Ask.KICK, room=room, text=text))

    async def move(self, room: str, to: str, *, stay: bool) -> int:
        """Have everyone in a room enter another one, on all nodes, and leave the first."""
        ask = Question(ask=Ask.MOVE, room=room, to=to, code="stay" if stay else "")
        return await self._summed(ask)

    async def close_user(self, user: str, text: str, retry: float | None = None) -> int:
        """End every session of a user, on all nodes; without `retry` their clients stay away."""
        ask = Question(ask=Ask.CLOSE_USER, user=user, text=text, retry=retry)
        return await self._summed(ask)

    def answer(self, question: Question) -> object:
        """What this node says to a question of another (or of itself)."""
        node = self._node
        room = node.rooms.get(question.room)
        match question.ask:
            case Ask.COUNT:
                return len(_here(room))
            case Ask.KICK:
                members = [] if room is None else room.members()
                for member in members:
                    left = Left("kicked", question.text, clean=True)
                    node.dispatcher.finish(member, left, tell=True)
                return len(members)
            case Ask.MOVE:
                return self._move(question)
            case Ask.CLOSE_USER:
                sessions = list(node.users.get(question.user, ()))
                for session in sessions:
                    text = question.text or "closed by the server"
                    session.close(4403, text, retry=question.retry)
                return len(sessions)
            case Ask.ANSWERS:
                return self._gather(question)
            case Ask.COUNTERS:
                return {"node": node.id, **msgspec.to_builtins(node.counters)}
            case _:
                return None

    async def _move(self, question: Question) -> int:
        """Who is in no room too many goes."""
        node = self._node
        room = node.rooms.get(question.room)
        is_to_stay = question.code == "stay" or question.to == question.room
        moved = 0
        for member in [] if room is None else room.members():
            try:
                await member.enter(node.room(question.to))
            except Refused as refused:
                log.warning("%r did not enter %s: %s", member, question.to, refused.text)
                continue
            moved += 1
            if not is_to_stay and room is not None and room is not member.room:
                await member.exit(room)
        return moved

    async def call(
        self,
        room: "Room",
        event: str,
        args: tuple[object, ...],
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> Answers:
        """Ask everyone in a room, on all nodes; see `Room.call`."""
        # A number that no call of a session has, and that JavaScript can hold.
        ref = str(1 << 52 | secrets.randbits(52))
        record = pack_record(self._node.record(room, event, args, ref=ref))
        question = Question(
            ask=Ask.ANSWERS, room=room.name, ref=ref, record=record, timeout=timeout
        )
        found = await self._node.nodes.ask(None, question, timeout + PATIENCE)
        answers = Answers()
        for values, missing, unable in msgspec.convert(list(found.values), list[_Gathered]):
            answers.values += values
            answers.missing += missing
            answers.unable += unable
        answers.missing += found.missing
        return answers

    async def counters(self) -> list[dict[str, object]]:
        """What each node has counted, with its id as `node`."""
        found = await self._node.nodes.ask(None, Question(ask=Ask.COUNTERS), PATIENCE)
        return msgspec.convert(list(found.values), list[dict[str, object]])

    def _gather(self, question: Question) -> Awaitable[object]:
        """Tell the members here at once, in order with what is published; then wait for them."""
        room = self._node.rooms.get(question.room)
        gathering = Gathering(_here(room))
        self._gathering[question.ref] = gathering
        try:
            self._node.deliver(unpack_record(question.record))
        except BaseException:
            del self._gathering[question.ref]
            raise
        return self._gathered(gathering, question)

    async def _gathered(self, gathering: Gathering, question: Question) -> object:
        try:
            answers = await gathering.wait(question.timeout)
        finally:
            del self._gathering[question.ref]
        return answers.values, answers.missing, answers.unable

    def answered(self, session: "Session", reply: Reply) -> None:
        """An answer that no call waits for: one of an acknowledged broadcast, or none of ours."""
        gathering = self._gathering.get(str(reply.ref))
        if gathering is not None:
            gathering.take(session, reply)

    async def _summed(self, question: Question) -> int:
        found = await self._node.nodes.ask(None, question, PATIENCE)
        return sum(value for value in found.values if isinstance(value, int))


def _here(room: "Room | None") -> "list[Member]":
    """The members of a room in this process, without those whose client is gone."""
    return [] if room is None else [each for each in room.members() if not each.is_away]
