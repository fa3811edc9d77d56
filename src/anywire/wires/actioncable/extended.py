"""The extended protocol: positions and history of streams, presence, what clients tell each other.

AnyCable's `actioncable-v1-ext-json`, as `@anycable/core` speaks it. A stream is a room; a presence
record is a key with its newest meta. What a client says of its own presence, and what it whispers,
are events for the application (`$presence:join`, `$presence:leave`, `$whisper`, as its client names
them): it is the server that says who somebody is, and who may speak to whom.

A client that was cut comes back with its `sid`, and is told which subscriptions still stand: those
to streams with history, for which it asks. All others are over, since nobody knows what they
missed; so is one whose first message the client may not have, and it subscribes anew to be told.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from anywire.body import Args, Body
from anywire.frames import (
    At,
    Event,
    Frame,
    Joined,
    Outcome,
    Past,
    Position,
    Presence,
    Refusal,
    Reply,
    Since,
    Welcome,
)
from anywire.payload import Payload
from anywire.wires.actioncable import codec as words
from anywire.wires.actioncable.codec import message_of
from anywire.wires.actioncable.commands import Command
from anywire.wires.base import Cap, Codec

if TYPE_CHECKING:
    from anywire.wires.actioncable.machine import Extension

SECRET = "~"
"""What stands between the id of a session and its secret."""
_LATEST = 1e11
"""Unix time in seconds; what is more is none."""
_EVENTS = {"join": "$presence:join", "leave": "$presence:leave", "whisper": "$whisper"}
"""Commands that are events, by their names."""
CONFIRMED = "confirm_history"
_NONE: frozenset[str] = frozenset()
"""What almost every conversation has; its sets are replaced, never changed."""

_json = msgspec.json.Encoder().encode


class ExtendedCodec:
    """`{"identifier":"…","message":{"text":"hi"},"stream_id":"chat:lobby","epoch":"e","offset":7}`
    where the room keeps history.
    """

    __slots__ = ()

    name = "actioncable.1.ext"
    caps = Cap.MANY | Cap.PRESENCE | Cap.RECOVER | Cap.CATCH_UP

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        position = at.position
        stands = b""
        if position is not None:
            room, epoch = _json(at.room), _json(position.epoch)
            stands = b',"stream_id":%b,"epoch":%b,"offset":%d' % (room, epoch, position.offset)
        message = message_of(event, body)
        data = b'{"identifier":%b,"message":%b%b}' % (_json(alias), message, stands)
        return Payload(data, counted=position is None, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        """A message for each key: it is here, as the newest of its metas has it, or it is gone."""
        if change.whole:
            return _present(alias, _listed(change.joined))
        here = {key: metas[-1] for key, metas in change.joined.items()}
        gone = [key for key in change.left if key not in here and key not in change.stays]
        told = [
            _present(alias, {"type": "join", "id": key, "info": info})
            for key, info in {**change.stays, **here}.items()
        ]
        told += [_present(alias, {"type": "leave", "id": key}) for key in gone]
        first, *rest = told
        first.rest = tuple(rest)
        first.counted = change.position is None
        return first


EXTENDED = ExtendedCodec()


class Extended:
    """What one conversation of the extended protocol has beside the base protocol."""

    __slots__ = (
        "_asked",
        "_due",
        "_listing",
        "_restored",
        "_serial",
        "_streams",
        "_unheard",
        "_unsure",
    )

    codec: Codec = EXTENDED

    def __init__(self) -> None:
        self._serial = 0
        self._streams: dict[str, Mapping[str, Position]] = {}
        """By identifier: the rooms with history that it streamed from when it was confirmed, and
        where its client stood then."""
        self._asked: dict[str, tuple[str, Since]] = {}
        """By ref: which subscription asked for history, and from where."""
        self._listing: frozenset[str] = _NONE
        """Subscriptions that asked who is present."""
        self._restored: frozenset[str] = _NONE
        """Subscriptions that were told as restored."""
        self._unsure: frozenset[str] = _NONE
        """… and that the client may know nothing of."""
        self._unheard: frozenset[str] = _NONE
        """Subscriptions whose confirmation brought a message, and whose client has not spoken to
        them since."""
        self._due: list[Payload] = []

    def follow(self, before: "Extension") -> Collection[str]:
        assert isinstance(before, Extended)  # the session is of one subprotocol
        self._serial = before._serial  # what is answered late is then nobody's
        stand = {alias: streams for alias, streams in before._streams.items() if streams}
        self._streams = {alias: stand[alias] for alias in stand if alias not in before._unheard}
        self._restored = self._unsure = frozenset(self._streams)
        return self._restored

    # --- in -------------------------------------------------------------------------------------

    def since(self, command: Command) -> Since | None:
        return since_of(command.history)

    def subscribed(self, command: Command) -> Sequence[Frame]:
        """What a client said of its presence it says again when it comes back."""
        if not isinstance(command.presence, dict):
            return ()
        return (_event(command.identifier, "join", command.presence),)

    def command(self, command: Command) -> Sequence[Frame]:
        alias, name = command.identifier, command.command
        match name:
            case "history":
                return self._history(alias, since_of(command.history))
            case "presence":
                self._listing |= {alias}
                return (Presence(alias, {}, {}, whole=True),)
            case "join" | "leave":
                about = command.presence if isinstance(command.presence, dict) else {}
                return (_event(alias, name, about),)
            case "whisper":
                return (_event(alias, name, command.data),)
            case _:
                return ()

    def spoken_to(self, alias: str) -> None:
        if alias in self._unheard:
            self._unheard -= {alias}

    def is_unheard(self, alias: str) -> bool:
        if alias not in self._unsure:
            return False
        self._unsure -= {alias}
        return True

    def _history(self, alias: str, since: Since | None) -> Sequence[Frame]:
        if alias in self._restored:
            # Of a stream without a position it has heard nothing: it stands where it began. Its
            # time is that of its own clock, when it heard a ping.
            asked = since or Since()
            since = Since({**self._streams[alias], **asked.positions}, asked.time)
        elif since is None:
            self._due.append(words.about(alias, "reject_history"))
            return ()
        self._serial += 1
        ref = f"history {self._serial}"
        self._asked[ref] = (alias, since)
        return (Past(ref, alias, since, 0),)

    # --- out ------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Welcome():
                return (self._welcome(frame),)
            case Joined():
                if frame.data is not None:
                    self._unheard |= {frame.alias}
                self._streams[frame.alias] = frame.positions
                if frame.outcome is Outcome.FRESH:
                    return ()
                is_lost = frame.outcome is Outcome.LOST
                return (words.about(frame.alias, "reject_history" if is_lost else CONFIRMED),)
            case Presence():
                self._listing -= {frame.alias}
                return (EXTENDED.presence(frame.alias, frame),)
            case Refusal(event="presence", alias=str() as alias) if alias in self._listing:
                self._listing -= {alias}
                return (_present(alias, {"type": "error"}),)
            case Reply():
                return self._past(frame)
            case _:
                return ()

    def _welcome(self, frame: Welcome) -> Payload:
        sid = frame.session if frame.token is None else f"{frame.session}{SECRET}{frame.token}"
        restored = [alias for alias in self._streams if alias in self._restored]
        return words.welcome(sid, restored if frame.resumed else None)

    def _past(self, reply: Reply) -> Sequence[Payload]:
        """What was kept, as it would have been heard; none of it, where some is missing. No data:
        all of it was said, as of a subscription that was restored.
        """
        alias, since = self._asked.pop(str(reply.ref), ("", Since()))
        if alias not in self._streams:
            return ()  # unsubscribed meanwhile
        if not reply.code and reply.data is None:
            return (words.about(alias, CONFIRMED),)
        if reply.code or len(self._streams[alias]) != 1:  # of several, which would it be?
            return (words.about(alias, "reject_history"),)
        (stream,) = self._streams[alias]
        assert reply.data is not None
        found: Any = reply.data.body().one_value
        records = [msgspec.convert(one, _Record) for one in found]
        asked = since.positions.get(stream)
        if asked is not None and records and not records[0].follows(asked):
            return (words.about(alias, "reject_history"),)
        told = [
            EXTENDED.event(alias, one.event, one.body(), At(stream, one.position))
            for one in records
        ]
        return (*told, words.about(alias, CONFIRMED))

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    def forget(self, alias: str) -> None:
        self._streams.pop(alias, None)
        gone = {alias}
        self._asked = {ref: one for ref, one in self._asked.items() if one[0] != alias}
        self._listing -= gone
        self._restored -= gone
        self._unsure -= gone
        self._unheard -= gone


def since_of(history: Any) -> Since | None:
    """`{"since":1700000000,"streams":{"chat:lobby":{"epoch":"e","offset":7}}}`: for each stream its
    position, or else that time.
    """
    if not isinstance(history, dict):
        return None
    when, streams = history.get("since"), history.get("streams")
    positions = _positions(streams) if isinstance(streams, dict) else {}
    time = None
    if isinstance(when, int | float) and when is not True and 0 < when < _LATEST:
        time = float(when)
    if not positions and time is None:
        return None
    return Since(positions, time)


class _Record(msgspec.Struct):
    """A publication as the answer to `Past` tells it."""

    event: str
    offset: int
    epoch: str
    data: Any = msgspec.UNSET
    args: list[Any] | None = None

    @property
    def position(self) -> Position:
        return Position(self.offset, self.epoch)

    def follows(self, position: Position) -> bool:
        """Whether nothing is missing between that position and this record."""
        return self.epoch == position.epoch and self.offset <= position.offset + 1

    def body(self) -> Body:
        if self.args is not None:
            return Body.of(*self.args)
        return Body.of() if self.data is msgspec.UNSET else Body.of(self.data)


def _positions(streams: Mapping[str, Any]) -> Mapping[str, Position]:
    found = {}
    for stream, position in streams.items():
        if isinstance(position, dict):
            epoch, offset = position.get("epoch"), position.get("offset")
            if isinstance(epoch, str) and type(offset) is int and 0 <= offset < 1 << 63:
                found[stream] = Position(offset, epoch)
    return found


def _event(alias: str, command: str, data: Any) -> Event:
    return Event(alias, _EVENTS[command], Args(_json(data)))


def _present(alias: str, about: Mapping[str, object]) -> Payload:
    data = b'{"type":"presence","identifier":%b,"message":%b}' % (_json(alias), _json(about))
    return Payload(data)


def _listed(metas: Mapping[str, list[Any]]) -> Mapping[str, object]:
    """Who is here: one record for each key, as its newest meta has it."""
    records = [{"id": key, "info": each[-1]} for key, each in metas.items()]
    return {"type": "info", "total": len(records), "records": records}
