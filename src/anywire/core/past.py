"""Past: what a room keeps, as handlers and clients are told it."""

from typing import TYPE_CHECKING

from anywire.body import Body
from anywire.core.presence import PRESENCE
from anywire.errors import Refused
from anywire.frames import Record, Since

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node


async def past(node: "Node", member: "Member", since: Since, limit: int) -> Body:
    """What was published at a member's address, as the answer to `Past`."""
    if member.channel.keep is None:
        raise Refused("unsupported", f'"{member.channel.pattern}" keeps no history')
    bound = max(0, min(limit or node.limits.replay, node.limits.replay))
    is_asked = since.positions or since.time is not None or since.last is not None
    asked = since if is_asked else Since(last=bound)
    return Body.of(list(map(_told, await records(node, member.room.name, asked, bound))))


async def records(node: "Node", room: str, since: Since, limit: int) -> list[Record]:
    """What is kept of a room since a point, without who came and went."""
    found, _, _ = await node.history.since(room, since, min(limit, node.limits.replay))
    return [record for record in found if record.event != PRESENCE]


def _told(record: Record) -> dict[str, object]:
    """One publication in the answer to `Past`."""
    values = record.body.values
    position = record.position
    assert position is not None  # what is kept is numbered
    told: dict[str, object] = {
        "event": record.event,
        "time": record.time,
        "offset": position.offset,
        "epoch": position.epoch,
    }
    if len(values) > 1 and not record.body.is_named:
        told["args"] = list(values)
    elif values:
        told["data"] = record.body.one_value
    return told
