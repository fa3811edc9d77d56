"""Entering: how members come into rooms and out of them, and with them the node's subscriptions."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from anywire.core.recovery import is_caught_up
from anywire.wires.base import NOTHING

if TYPE_CHECKING:
    from anywire.core.member import Member
    from anywire.core.node import Node
    from anywire.core.room import Room


async def enter(node: "Node", member: "Member", room: "Room") -> "Room":
    """Put a member into a room; when it returns, nothing published there is missed."""
    room = node.rooms.setdefault(room.name, room)
    member.rooms = {**member.rooms, room.name: room} if member.rooms else room.alone()
    if member.parked is not None:
        room.parked[member] = None
    else:
        room.add(member)
    if not room.is_subscribed:
        try:
            await _subscribe(node, room)
        except BaseException:  # cancelled, too: a member that hears nothing is none
            _leave(member, room)
            room.remove(member)
            node.spawn(_release(node, room), "anywire release")
            raise
    return room


async def exit(node: "Node", member: "Member", room: "Room") -> None:
    """Take a member out of a room."""
    _leave(member, room)
    room.remove(member)
    await _release(node, room)


def dismiss(node: "Node", member: "Member") -> None:
    """The membership is over: its rooms and its presence forget it."""
    rooms = list(member.rooms.values())
    member.rooms = NOTHING
    for room in rooms:
        room.remove(member)
    absent(node, member)
    if any(room.is_empty() for room in rooms):
        node.spawn(_released(node, rooms), "anywire dismiss")


def absent(node: "Node", member: "Member") -> None:
    """Who has left is not listed any more, even while a handler of theirs still runs."""
    key, member.presence_key = member.presence_key, None
    if key is not None:
        gone = node.presence.exit(member.room.name, node.id, key, member.id, member.channel.keep)
        node.spawn(gone, "anywire absent")


def _leave(member: "Member", room: "Room") -> None:
    member.rooms = {name: other for name, other in member.rooms.items() if name != room.name}


async def _subscribe(node: "Node", room: "Room") -> None:
    async with _lock(room):
        if room.is_subscribed:
            return
        begun = await node.broker.subscribe(room.name)
        if not is_caught_up(room.delivered, begun):  # what follows may have come already
            room.delivered = begun
        room.is_subscribed = True


async def _release(node: "Node", room: "Room") -> None:
    """Unsubscribe a room that nobody here is in."""
    if not room.is_empty():
        return
    try:
        async with _lock(room):
            if not room.is_empty() or not room.is_subscribed:
                return
            room.is_subscribed = False  # first: who enters meanwhile waits for the lock
            room.delivered = None
            await node.broker.unsubscribe(room.name)
    finally:
        if room.is_empty() and node.rooms.get(room.name) is room:
            del node.rooms[room.name]
            room.forget_alone()


async def _released(node: "Node", rooms: "list[Room]") -> None:
    for room in rooms:
        await _release(node, room)


def _lock(room: "Room") -> AbstractAsyncContextManager[None]:
    if room.lock is None:
        room.lock = asyncio.Lock()
    return room.lock
