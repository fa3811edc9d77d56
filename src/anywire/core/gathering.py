"""Gathering: the answers of a room's members to one acknowledged broadcast."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anywire.core.member import Member, converted
from anywire.errors import CallFailed
from anywire.frames import Reply
from anywire.wires.base import Cap

if TYPE_CHECKING:
    from anywire.core.session import Session


class Answers:
    """What the members of a room answered, and who did not or could not."""

    __slots__ = ("missing", "unable", "values")

    def __init__(self) -> None:
        self.values: list[object] = []
        """Answers in the order they came."""
        self.missing: list[str] = []
        """Ids of members that gave no answer in time, or left; ids of nodes that did not answer."""
        self.unable: list[str] = []
        """Ids of members whose wire has no calls: they heard the event and cannot answer."""


class Gathering:
    """One such broadcast under way."""

    __slots__ = ("_answers", "_finished", "_waiting")

    def __init__(self, members: Sequence[Member]) -> None:
        self._answers = Answers()
        self._finished: asyncio.Future[None] | None = None
        self._waiting: dict[str, Member] = {}
        for member in members:
            if member.session.machine.caps & Cap.CALL:
                self._waiting[member.id] = member
            else:
                self._answers.unable.append(member.id)

    async def wait(self, timeout: float) -> Answers:  # noqa: ASYNC109 (what came in time counts)
        """The answers that came within `timeout` seconds."""
        if self._waiting:
            self._finished = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._finished
            except TimeoutError:
                pass
        self._answers.missing += self._waiting
        return self._answers

    def take(self, session: "Session", reply: Reply) -> None:
        """An answer under this broadcast's ref; an error, or what is no answer, counts as none."""
        member = session.members.get(reply.alias)
        if member is None:  # some wires do not say of which membership an answer is
            member = next((m for m in self._waiting.values() if m.session is session), None)
        if member is None or self._waiting.pop(member.id, None) is None:
            return
        try:
            value = converted(reply.data, object, "call")
        except CallFailed:
            self._answers.missing.append(member.id)
        else:
            if reply.code:
                self._answers.missing.append(member.id)
            else:
                self._answers.values.append(value)
        if not self._waiting and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)
