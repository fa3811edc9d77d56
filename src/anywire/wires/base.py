"""What a wire is: the extender's view of the upper half of the hourglass.

A `Wire` is one protocol as configured for one app. It answers an opening request with a `Machine`
(one conversation: messages in, frames out, and back), whose `Codec` writes what is broadcast. All
three are sans-I/O: they never wait, never read a clock, never make randomness; time and ids are
arguments.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import Enum, Flag, auto
from typing import Any, NoReturn, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from anywire.body import Body
from anywire.frames import At, Frame, Presence
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier, Message, Payload


class Fixed(dict[str, Any]):
    """A mapping that cannot be changed, so that many sessions can share one."""

    __slots__ = ()

    def _refuse(self, *args: object, **more: object) -> NoReturn:
        raise TypeError("this mapping is shared and cannot be changed: make a copy of your own")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


NOTHING: Mapping[str, Any] = Fixed()


class Cap(Flag):
    """What a conversation can carry; the rest is emulated or refused (a table in the docs)."""

    NONE = 0
    REPLY = auto()
    """Answers to the client's calls."""
    CALL = auto()
    """Calls from the server to the client."""
    STREAM = auto()
    BINARY = auto()
    """Bytes inside data as bytes."""
    PRESENCE = auto()
    RECOVER = auto()
    """A join can carry a position, and publications tell theirs."""
    RESUME = auto()
    """Both ends count, so the same session goes on over a new transport."""
    MANY = auto()
    """More than one address per session."""


class Codec(Protocol):
    """How a format writes what many members hear; stateless, shared by all sessions that speak it.

    Two codecs that write different bytes have different names; nothing per session may stand in
    what `event` writes.
    """

    name: str
    caps: Cap

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload: ...

    def presence(self, alias: str, change: Presence) -> Payload: ...


class Machine(Protocol):
    """One conversation: owns handshake, ids and heartbeat of its protocol.

    `receive`, `tick` and `send` raise ProtocolError when the peer broke the rules; after that the
    machine is done.
    """

    codec: Codec
    caps: Cap
    """The codec's, less what was not negotiated."""
    received: int
    """Counted messages heard from this peer since its session began; carried over by a resume."""
    is_single: bool
    """One implicit membership is all there is: its refusal or end closes the connection (4403)."""

    def opened(self, now: float) -> Sequence[Frame]:
        """The transport stands: frames to begin with, as an implicit join."""
        ...

    def heard(self, now: float) -> None:
        """The peer is alive, though no message came (a pong)."""
        ...

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        """Frames in a message from the peer. `now`: loop time in seconds."""
        ...

    def send(self, frame: Frame) -> Sequence[Payload]:
        """What to write for this frame; nothing, if the protocol has no words for it."""
        ...

    def due(self) -> Sequence[Payload]:
        """The machine's own traffic since the last call: handshake answers, pongs, beats."""
        ...

    def deadline(self) -> float | None:
        """When to call `tick`, in loop time; None: no need."""
        ...

    def tick(self, now: float) -> Sequence[Frame]:
        """Time has passed: a `Beat` asks for the transport's own probe; silence ends in a `Bye`."""
        ...


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a wire's path has instead of the app's; the host obeys them.

    See docs/decisions/0020-options-of-a-mount.md.
    """

    limits: Limits | None = None
    """All bounds of what is said here; None: the app's."""
    origins: tuple[str, ...] | None = None
    """Pages that may connect beside the server's own (`"*"`: all); None: those of the server."""
    deflate: Deflate | UnsetType | None = UNSET
    """permessage-deflate on WebSockets; None: nothing is compressed; UNSET: the server's."""


class Route(msgspec.Struct, frozen=True):
    """A path of ours: exact, or with `{address}` as its last part; a WebSocket is a GET."""

    method: str
    path: str
    carrier: Carrier
    mount: Mount = Mount()


class User(msgspec.Struct, frozen=True):
    """Who a session belongs to; what `authenticate` returns."""

    id: str
    claims: Mapping[str, object] = NOTHING
    is_anonymous: bool = False

    def is_same(self, other: "User") -> bool:
        """Whether both are one identity; nobody in particular is one."""
        return self.id == other.id or (self.is_anonymous and other.is_anonymous)


class Hello(msgspec.Struct, kw_only=True):
    """The request that opens a conversation; serialisable, so that another worker can be handed it.

    `headers` have lower-case names; `query` and `cookies` hold the last value of each name.
    """

    method: str = "GET"
    path: str = "/"
    query: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING
    cookies: Mapping[str, str] = NOTHING
    remote: str = ""
    """The peer's address as the host saw it."""
    carrier: Carrier = Carrier.WEBSOCKET
    subprotocols: Sequence[str] = ()
    """What the client offers, in its order."""
    address: str | None = None
    """The path's `{address}`, decoded."""
    seed: bytes = b""
    """32 fresh random bytes, made by the host: randomness is an input."""
    sign: str = ""
    """The owner's sign, with which every id made here begins."""
    clock: float = 0.0
    """Unix time minus loop time, in seconds."""
    limits: Limits = Limits()
    user: User | None = None
    """Whom the host already knows (a mounted framework's session)."""
    credentials: Any = None
    """What an `Auth` frame carried, where the wire has one."""
    hops: int = 0
    """How many nodes have passed this request on to who owns its session."""

    @property
    def token(self) -> str | None:
        """The bearer token: of the header `Authorization`, the query, or the credentials."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        if "token" in self.query:
            return self.query["token"]
        found = self.credentials.get("token") if isinstance(self.credentials, dict) else None
        return found if isinstance(found, str) else None

    def id(self, n: int) -> str:
        """The n-th id of this hello: 128 bits nobody can guess, always the same for the same n.

        0 to 2 are taken: `SESSION_ID`, `TOKEN_ID`, `ANONYMOUS_ID`; from `OWN_ID` on they are the
        application's.
        """
        digest = hashlib.blake2b(n.to_bytes(8, "big"), key=self.seed, digest_size=16).hexdigest()
        return f"{self.sign}.{digest}" if self.sign else digest


SESSION_ID = 0
"""Which id of a hello is the public id of the session that it opens."""
TOKEN_ID = 1
"""… the first secret to resume that session."""
ANONYMOUS_ID = 2
"""… the end of the user's id, where nobody knows the user."""
OWN_ID = 3
"""… the first one that an application may use for what it likes."""


class Role(Enum):
    """What an opening request wants of a session."""

    NEW = "new"
    RESUME = "resume"
    CANDIDATE = "candidate"
    """A second transport that may take over (an upgrade)."""
    UPLINK = "uplink"
    """Messages of a session whose answers go another way."""
    DOWNLINK = "downlink"
    """A request for what waits in a session. With a machine: of a new one, if there is none."""


class Identity(Enum):
    """When the client says who it is."""

    HELLO = "hello"
    """With the opening request."""
    FRAME = "frame"
    """In an `Auth` frame; reading is paused and limits are tiny until it is answered."""


class Opening(msgspec.Struct, kw_only=True):
    """A wire's answer to a request that opens, resumes or joins a session."""

    machine: Machine | None
    session: str
    """The public id; for RESUME the id of the session to go on with."""
    role: Role = Role.NEW
    token: str = ""
    """For RESUME, UPLINK and DOWNLINK: the secret the client showed."""
    received: int | None = None
    """For RESUME: the count of messages the client has; None: it will say so in an `Ack`."""
    subprotocol: str | None = None
    auth: Identity = Identity.HELLO
    is_claimed: bool = False
    """The client made the id up: its owner is found in the directory, it is bound to the identity
    that opened it, and there is no token."""


class Answer(msgspec.Struct, kw_only=True):
    """A plain HTTP answer, or (`code` set) an upgrade that is closed at once."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    code: int | None = None
    reason: str = ""
    payloads: Sequence[Payload] = ()
    """Said before the close, by an accepted answer."""
    subprotocol: str | None = None

    @classmethod
    def accepted(
        cls,
        code: int,
        reason: str,
        *,
        payloads: Sequence[Payload] = (),
        subprotocol: str | None = None,
    ) -> "Answer":
        """Upgrade, say these payloads, close: what a browser can see of a refusal."""
        return cls(status=101, code=code, reason=reason, payloads=payloads, subprotocol=subprotocol)


class Reason(Enum):
    """Why the host refuses a request that a wire would have taken."""

    UNKNOWN = "unknown"
    """No such session."""
    TAKEN = "taken"
    BUSY = "busy"
    OWNER_GONE = "owner_gone"
    FORBIDDEN = "forbidden"
    LIMIT = "limit"
    ORIGIN = "origin"
    STOPPING = "stopping"
    FAILED = "failed"
    """A bug of ours or of the application's; the log has it."""


class Why(msgspec.Struct, frozen=True):
    """A refusal before any session stands; the wire puts it into its own words."""

    reason: Reason
    code: str = ""
    text: str = ""
    data: object = None


class Wire(Protocol):
    """One protocol, as configured for one app: its paths, its options, its conversations."""

    name: str
    reserved: frozenset[str]
    """Event names that mean something to its clients: no application may send them."""
    idle: Payload | None
    """What ends an empty poll."""

    def routes(self) -> Sequence[Route]: ...

    def open(self, hello: Hello) -> Opening | Answer:
        """Start, resume, upgrade, or a plain answer. Never raises for what a peer may send."""
        ...

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """How this wire says no to an opening request."""
        ...

    def pack(self, carrier: Carrier, payloads: Sequence[Payload]) -> bytes:
        """Payloads as one HTTP body or event-stream part.

        Raises Unsupported for a carrier it has no route for.
        """
        ...

    def unpack(self, carrier: Carrier, body: bytes) -> Sequence[Message]:
        """Messages in a request's body. Raises ProtocolError."""
        ...


class Client(Protocol):
    """The other side of a wire: what a client says and hears, sans-I/O.

    Frames mean the same as on the server, seen from the client: `send(Join(...))`, `receive` →
    `Joined`.
    """

    caps: Cap
    is_single: bool
    """One implicit membership is all there is: no welcome, no join; it stands with the connection.
    """

    def opening(self) -> "Request":
        """The request to open (or, with what it remembers, resume) the conversation."""
        ...

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        """The transport stands."""
        ...

    def heard(self, now: float) -> None: ...

    def receive(self, message: Message, now: float) -> Sequence[Frame]: ...

    def send(self, frame: Frame) -> Sequence[Payload]: ...

    def due(self) -> Sequence[Payload]: ...

    def deadline(self) -> float | None: ...

    def tick(self, now: float) -> Sequence[Frame]: ...


class Request(msgspec.Struct, kw_only=True):
    """What a client machine asks its transport to open, relative to the URL it was given."""

    subprotocols: Sequence[str] = ()
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
