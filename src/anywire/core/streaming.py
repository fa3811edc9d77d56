"""Streaming: what an async generator yields on its way out, and uploads on their way in.

A wire without streams is served too: each item is an event `<event>.item` `{"id", "data"}`, the end
is the reply or an event `<event>.end`, and `<event>.cancel` `{"id"}` comes the other way.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from anywire.body import Body
from anywire.core.member import Member
from anywire.core.stream import Inbox, Stream
from anywire.core.turn import Turn, args_of
from anywire.errors import Refused
from anywire.frames import End, Event, Item, Ref, Want

if TYPE_CHECKING:
    from anywire.core.session import Session


def check(turn: Turn) -> None:
    """Look at a turn that gives or asks for a stream. Raises Refused where the two do not go
    together, or the session has streams enough.
    """
    frame, handler, session = turn.frame, turn.handler, turn.member.session
    if not handler.binder.is_stream:
        raise Refused("unsupported", f'"{frame.event}" is no stream: ask for its answer')
    if session.can_stream and frame.want is Want.REPLY and not handler.collect:
        raise Refused("unsupported", f'"{frame.event}" is a stream: ask for items')
    streams = session.streams or {}
    limit = session.hello.limits.streams
    if sum(stream.event is not None for stream in streams.values()) >= limit:
        raise Refused("busy", f"{limit} streams run already")
    if frame.ref in streams:
        raise Refused("invalid", "the ref of a running answer cannot be used again")


def begin(turn: Turn, items: object) -> Coroutine[Any, Any, None]:
    """Register the stream of a turn that was checked; the coroutine sends its items."""
    frame = turn.frame
    session = turn.member.session
    ref = frame.ref
    while ref is None or ref in (session.streams or ()):  # its client may have said the same
        session.serial += 1
        ref = frame.ref = f"s{session.serial}"
    turn.is_later = True
    turn.stream = Stream(turn.member, frame.event)
    register(session, ref, turn.stream)
    return _pump(turn, items, ref)


def register(session: "Session", ref: Ref, stream: Stream) -> None:
    """Make what runs under this ref known to `cancel`."""
    if session.streams is None:
        session.streams = {}
    session.streams[ref] = stream


async def _pump(turn: Turn, items: Any, ref: Ref) -> None:
    """Send what a generator yields; the next message has its turn from the first item on."""
    frame = turn.frame
    session = turn.member.session
    is_native = session.can_stream and frame.want is Want.STREAM
    gathered: list[object] | None = None
    if turn.handler.collect and frame.want is Want.REPLY:
        gathered = []
    if isawaitable(items):
        items = await items  # guards come first
    try:
        async for item in items:
            if is_native:
                session.send(Item(ref, Body.of(item)))
                turn.is_streaming = True
            elif gathered is not None:
                gathered.append(item)
            else:
                body = Body.of({"id": ref, "data": item})
                session.send(Event(frame.alias, f"{frame.event}.item", body))
            turn.release()
            if session.has_ended:
                return
            if session.is_over_mark:
                await session.node.drained(session)
    finally:
        await items.aclose()
    if is_native:
        session.send(End(ref))
    elif frame.want is Want.REPLY:
        turn.answer(gathered)
    else:
        session.send(Event(frame.alias, f"{frame.event}.end", Body.of({"id": ref})))


def stop(member: Member) -> None:
    """The membership ends: its streams do, and its uploads after what has come."""
    for stream in list((member.session.streams or {}).values()):
        if stream.member is member and stream.event is not None and stream.task is not None:
            stream.task.cancel()
    for inbox in (member.inboxes or {}).values():
        inbox.end("lost", "the membership has ended")


def is_cancel(session: "Session", frame: Event) -> bool:
    """Whether an event is how a wire without streams ends one of its own; it is ended then."""
    name, dot, verb = frame.event.rpartition(".")
    if not dot or verb != "cancel":
        return False
    try:
        values = args_of(frame).values()
    except ValueError:
        return False
    ref = values[0].get("id") if values and isinstance(values[0], dict) else None
    stream = (session.streams or {}).get(ref) if isinstance(ref, str | int) else None
    if stream is None or stream.event != name or stream.member.alias != frame.alias:
        return False
    stream.cancel()
    return True


# --- uploads --------------------------------------------------------------------------------------


def open_inboxes(member: Member, frame: Event, future: Callable[[], Any]) -> None:
    """Make an inbox for each upload of an event: items may come before its handler's turn.

    Raises Refused `busy` past the bound of uploads, `invalid` for a ref that is in use, and what
    `Channel.find` raises.
    """
    session = member.session
    limits = session.hello.limits
    if session.inboxes is None:
        session.inboxes = {}
    if member.inboxes is None:
        member.inboxes = {}
    refs = frame.streams
    if len(session.inboxes) + len(refs) > limits.streams:
        raise Refused("busy", f"{limits.streams} uploads may run at once")
    if len(set(refs)) < len(refs) or any(ref in session.inboxes for ref in refs):
        raise Refused("invalid", "the ref of an upload is in use")
    binder = member.channel.find(frame.event).binder
    for index, ref in enumerate(refs):
        inbox = Inbox(
            partial(binder.item, index),
            items=limits.stream_items,
            size=limits.stream_bytes,
            future=future,
        )
        session.inboxes[ref] = member.inboxes[ref] = inbox


def uploads(turn: Turn) -> list[AsyncIterator[object]]:
    """The uploads of a turn, in the order of its handler's parameters. Raises Refused."""
    refs, expected = turn.frame.streams, turn.handler.binder.uploads
    if len(refs) != len(expected):
        names = ", ".join(name for name, _ in expected)
        raise Refused("invalid", f'"{turn.event}" takes {len(expected)} uploads: {names}')
    inboxes = turn.member.session.inboxes
    assert inboxes is not None
    return [inboxes[ref] for ref in refs]
