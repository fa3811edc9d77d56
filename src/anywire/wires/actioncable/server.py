"""Action Cable as configured for one app."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from anywire.errors import ConfigurationError, close_reason
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier
from anywire.wires.actioncable.codec import RESERVED, RESTART, UNAUTHORIZED, disconnect
from anywire.wires.actioncable.extended import SECRET, Extended
from anywire.wires.actioncable.machine import ActionCableMachine, Pings
from anywire.wires.base import SESSION_ID, Answer, Hello, Mount, Opening, Reason, Role, Route, Why
from anywire.wires.pulse import Pulse
from anywire.wires.refusal import CODES, chosen, foreign, words

BASE, EXTENDED, NONE = "actioncable-v1-json", "actioncable-v1-ext-json", "actioncable-unsupported"
SUBPROTOCOLS = (BASE, EXTENDED, NONE)
SHOWN = "anycable-token."
"""What a subprotocol begins with that is a token; else it is the header `X-JID`, or `jid` of the
query."""


class ActionCable:
    """Action Cable at `path`, for `@rails/actioncable` and its like; with the subprotocol
    `actioncable-v1-ext-json` also what `@anycable/core` adds: history, presence, and sessions that
    go on after a cut.

    An identifier names an address: `{"channel":"ChatChannel","room":"lobby"}` is `chat:lobby` where
    there is a channel `chat:{room}`, else `chat`, with the parameter `room`; all behind `prefix`.
    Its client offers `actioncable-unsupported` to see that a server speaks nothing it knows: who
    offers nothing else is answered with it, and hears the base protocol, as from Rails. A token as
    `@anycable/core` shows it is `hello.token`.

    `ping`: seconds between two pings; clients of Rails reconnect after 6 without one. `limits`,
    `origins`, `deflate`: see `Mount`.

    >>> [route.path for route in ActionCable("/cable").routes()]
    ['/cable']
    """

    __slots__ = ("_mount", "_pings", "path", "ping", "prefix")

    name = "actioncable"
    reserved = RESERVED

    def __init__(
        self,
        path: str = "/cable",
        *,
        prefix: str = "",
        ping: float = 3.0,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        if ping <= 0:
            raise ConfigurationError("ActionCable: ping is over 0 seconds")
        self.path = path
        self.prefix = prefix
        self.ping = ping
        self._pings = Pings()
        self._mount = Mount.of(limits=limits, origins=origins, deflate=deflate)

    def routes(self) -> Sequence[Route]:
        return [Route("GET", self.path, Carrier.WEBSOCKET, self._mount)]

    def open(self, hello: Hello) -> Opening | Answer:
        limits = hello.limits
        subprotocol = chosen(hello, SUBPROTOCOLS)
        is_extended = subprotocol == EXTENDED
        machine = ActionCableMachine(
            limits,
            Pulse(limits.beat, limits.beat_timeout),
            self._pings,
            every=self.ping,
            wall=hello.clock,
            prefix=self.prefix,
            extension=Extended() if is_extended else None,
        )
        opening = Opening(
            machine=machine,
            session=hello.id(SESSION_ID),
            subprotocol=subprotocol,
            credentials=_credentials(hello),
        )
        session, _, token = hello.query.get("sid", "").partition(SECRET)
        if is_extended and session and token:
            opening.session, opening.token = session, token
            opening.role, opening.received, opening.follows = Role.RESUME, 0, True
        return opening

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """An upgrade, `disconnect` and a close: who is nobody stays away, all others come back."""
        if why.reason is Reason.ORIGIN:
            return foreign(why)
        is_nobody = why.reason is Reason.FORBIDDEN
        reason = UNAUTHORIZED if is_nobody else RESTART
        return Answer.accepted(
            CODES[why.reason],
            close_reason(words(why)),
            payloads=(disconnect(reason, reconnect=not is_nobody),),
            subprotocol=chosen(hello, SUBPROTOCOLS),
        )


def _credentials(hello: Hello) -> dict[str, str] | None:
    """The token that a client of AnyCable shows, in one of its three ways."""
    shown = [one.removeprefix(SHOWN) for one in hello.subprotocols if one.startswith(SHOWN)]
    token = shown[0] if shown else hello.headers.get("x-jid") or hello.query.get("jid")
    return {"token": token} if token else None
