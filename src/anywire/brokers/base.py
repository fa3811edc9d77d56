"""What a broker is: five narrow contracts that a hub serving several processes can meet.

`Broker` numbers and carries, `History` keeps, `PresenceStore` knows who is here, `Directory` finds
the owner of a session, `Nodes` asks other nodes. A backend offers all of them or some. Contract
suites: `tests/contracts/`.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from anywire.frames import Position, Record, Since


class Keep(msgspec.Struct, frozen=True):
    """How much of a room's past is kept: at most `size` records, each at most `seconds`."""

    size: int
    seconds: float


class Broker(Protocol):
    """Carries records to every node that subscribed to their room."""

    async def start(
        self,
        deliver: Callable[[Record], None],
        broken: Callable[[str, Position | None], None] | None = None,
    ) -> None:
        """Begin; `deliver` is called in the loop, in order per room, for subscribed rooms.

        `broken` is called with a subscribed room whose deliveries have a hole that cannot be
        filled, and where the room stands now (None: unnumbered): what is kept was lost, or records
        may have passed unheard. Who is present may have changed unheard too.
        """
        ...

    async def stop(self) -> None: ...

    async def subscribe(self, room: str) -> Position | None:
        """After it returns, no record of the room is missed.

        Returns where the subscription begins: every later numbered record is delivered. None:
        unknown, or unnumbered.
        """
        ...

    async def unsubscribe(self, room: str) -> None: ...

    async def publish(self, record: Record, keep: Keep | None) -> Position | None:
        """Number, keep and carry, as one atomic step per room; without `keep` there is no number.

        A record whose `id` was seen inside the window is not carried again: its first position is
        returned.
        """
        ...


class History(Protocol):
    """What was published in rooms that keep a past."""

    async def since(
        self, room: str, since: Since, limit: int
    ) -> tuple[Sequence[Record], Position, str]:
        """Records after that point, oldest first; the room's position now; why some are lost.

        "" means that none is. Lost is `epoch`, `expired` or `limit`; then the records are the
        newest that are kept, at most `limit`. A room nobody published in has position 0 of its
        epoch.
        """
        ...


class PresenceStore(Protocol):
    """Who is in a room, over all nodes.

    A change is also a record of the room (reserved event `presence`).
    """

    async def enter(
        self,
        room: str,
        node: str,
        key: str,
        member: str,
        meta: bytes,
        lease: float,
        keep: Keep | None,
    ) -> Position | None:
        """Add or change the meta (JSON) of one member under `key`."""
        ...

    async def exit(
        self, room: str, node: str, key: str, member: str, keep: Keep | None
    ) -> Position | None: ...

    async def renew(self, node: str, lease: float) -> None:
        """Everything of this node lives `lease` seconds more."""
        ...

    async def list(self, room: str) -> Mapping[str, Sequence[bytes]]:
        """Metas by key, in order of entering."""
        ...


class Directory(Protocol):
    """Who owns sessions whose ids clients minted."""

    async def claim(self, mount: str, id: str, owner: str, identity: str, lease: float) -> str:
        """Take the id for `owner` if it is free; returns the owner that stands.

        Raises Refused for another identity.
        """
        ...

    async def owner(self, mount: str, id: str) -> str | None: ...

    async def release(self, mount: str, id: str) -> None: ...


class Ask(Enum):
    """What one node can ask others."""

    COUNT = "count"
    MOVE = "move"
    KICK = "kick"
    CLOSE_USER = "close_user"
    REACH_USER = "reach_user"
    ANSWERS = "answers"
    COUNTERS = "counters"


class Question(msgspec.Struct, kw_only=True):
    """One question to every node; the fields it needs depend on `ask`."""

    ask: Ask
    room: str = ""
    to: str = ""
    user: str = ""
    ref: str = ""
    code: str = ""
    text: str = ""
    record: bytes = b""
    timeout: float = 0.0
    """Seconds a node may gather answers."""
    retry: float | None = None
    """When the clients of sessions that are closed come back, in seconds; None: they stay away."""


class Found(msgspec.Struct, frozen=True):
    """Answers of the nodes that answered, and who did not in time."""

    values: Sequence[object]
    missing: Sequence[str] = ()


class Nodes(Protocol):
    """Questions that only other nodes can answer."""

    def listen(self, node: str, answer: Callable[[Question], object], door: str = "") -> None:
        """Ask this function what is asked of `node`; it may return an awaitable.

        Called before `Broker.start`. `door`: where this node takes requests and sockets of its
        sessions that reached another node; "": it takes none.
        """
        ...

    def doors(self) -> Mapping[str, str]:
        """The nodes that are alive, this one too, and the door of each."""
        ...

    async def ask(self, nodes: Sequence[str] | None, question: Question, timeout: float) -> Found:  # noqa: ASYNC109
        """Ask these nodes (None: all, this one too). `timeout` in seconds."""
        ...
