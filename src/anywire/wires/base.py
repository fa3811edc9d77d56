"""What a wire is: the extender's view of the upper half of the hourglass.

A `Wire` is one protocol as configured for one app. It answers an opening request with a `Machine`
(one conversation: messages in, frames out, and back), whose `Codec` writes what is broadcast. All
three are sans-I/O: they never wait, never read a clock, never make randomness; time and ids are
arguments.

Length: the words of the waist stand in one place, for whoever writes a wire to read as a whole.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, Flag, auto
from typing import Any, NoReturn, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from anywire.body import Body
from anywire.frames import At, Frame, Presence
from anywire.limits import Deflate, Limits
from anywire.payload import Carrier, Framing, Message, Payload


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
    ADOPT = auto()
    """A membership can go on in another session of the same identity: the client shows its secret
    and the last mark it heard. The machine is an `Adopting`."""
    CATCH_UP = auto()
    """The same session goes on over a new transport, and nobody counts: the client asks with `Past`
    for what it missed in rooms with history, and hears those from there on. What waits uncounted is
    not said to it."""


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


class Adopting(Machine, Protocol):
    """A machine of a conversation with `Cap.ADOPT`."""

    def missed(
        self, tail: Sequence[Payload], alias: str, mark: str | None, *, is_whole: bool
    ) -> Sequence[Payload] | None:
        """What a membership's client has not heard, of what its last session wrote and had waiting.

        `is_whole`: nothing that the client may lack is missing in `tail`. None: nobody can say.
        """
        ...


class Following(Machine, Protocol):
    """A machine whose opening `follows`."""

    def follow(self, before: Machine, now: float) -> Sequence[Frame]:
        """Go on as this one of the same wire: with what was settled, and what still waits. Returns
        frames to go on with, behind the welcome.
        """
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
    hixie: bool = False
    """Browsers of 2010 may open WebSockets in their way, which knows no close code and no ping."""

    @classmethod
    def of(
        cls,
        *,
        limits: Limits | None,
        origins: Sequence[str] | str | None,
        deflate: Deflate | UnsetType | None,
    ) -> "Mount":
        """Options as a wire's constructor takes them: one origin need not stand in a list."""
        pages = (origins,) if isinstance(origins, str) else origins
        return cls(limits=limits, origins=None if pages is None else tuple(pages), deflate=deflate)


class Route(msgspec.Struct, frozen=True):
    """A path of ours, exact or with parts that vary: `/chat/{address}`, `/chat/page{version}.html`.

    What stands in them is `Hello.parts`; `{address}` is `Hello.address` too. A WebSocket is a GET
    that asks for an upgrade: the same path may have another GET. `*`: any method that no other
    route of the path has.
    """

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
    parts: Mapping[str, str] = NOTHING
    """What stands in the parts of the path that vary, decoded."""
    seed: bytes = b""
    """32 fresh random bytes, made by the host: randomness is an input."""
    sign: str = ""
    """The owner's sign, with which every id made here begins."""
    key: bytes = b""
    """What this app's nodes know and nobody else: wires sign with it what they want back."""
    clock: float = 0.0
    """Unix time minus loop time, in seconds."""
    time: float = 0.0
    """When the request came, in unix time."""
    limits: Limits = Limits()
    user: User | None = None
    """Whom the host already knows (a mounted framework's session)."""
    credentials: Any = None
    """Who the client says it is, where its wire has words for that: in an `Auth` frame, or in the
    request (`Opening.credentials`)."""
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


class Overlap(Enum):
    """What becomes of the request that waits when another one asks for the same session."""

    REPLACE = "replace"
    """The later one takes its place: what a lost answer carried can be asked for again."""
    REFUSE = "refuse"
    """The later one is refused. One that is cut takes the session along: what was on its way is
    lost."""
    END = "end"
    """Both end, and the session's transport with them; so it does when one is cut."""


Headers = Sequence[tuple[str, str]]
Pack = Callable[[Sequence[Payload]], tuple[bytes, int]]
Farewell = Callable[[int, str], tuple[Headers, bytes]]


class Downlink(msgspec.Struct, frozen=True, kw_only=True):
    """How a request for what a session says is answered; one for all requests of its kind.

    A poll (`pack` is set) is answered once and is over; a stream goes on until its `limit`.
    """

    framing: Framing
    """How a stream holds one payload; equal keys mean equal bytes. Polls: `UNFRAMED`."""
    headers: Headers = ()
    pack: Pack | None = None
    """The body of an answer that holds the first of these payloads, and how many it holds."""
    prelude: bytes = b""
    """What a stream begins with."""
    limit: int = 0
    """Bytes after which a stream ends and its client asks again; 0: none."""
    overlap: Overlap = Overlap.REPLACE
    wait: float = 0.0
    """Seconds after which a poll with nothing to say is ended; 0: what is said is enough."""
    gap: float = 15.0
    """Seconds that a client has between two requests."""
    idle: bytes = b""
    """What ends a poll that has nothing to say."""
    closed: bytes = b""
    """… and one whose session is over."""
    gone: int | None = None
    """The status of an answer that says that the session is over, where a status does."""
    farewell: Farewell | None = None
    """How the close code and reason are told: headers of the last poll's answer, the last part of a
    stream. None: in payloads, or not."""
    is_repeated: bool = False
    """The last word is said to everyone who asks within `gap`; what still comes then is dropped."""


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """How a request that brings messages is read and answered."""

    unpack: Callable[[bytes], "Sequence[Message] | Answer"]
    """The messages of a body. An `Answer` refuses it and leaves the session as it is; a
    ProtocolError ends the session."""
    taken: "Answer"
    """Says that all of them were taken."""
    first: int | None = None
    """How many messages the requests before it brought, so that one that is repeated can be told;
    None: the client does not say."""
    is_alone: bool = False
    """A second request while one is being read ends the session."""
    is_goodbye: bool = False
    """The client leaves with it."""


class Verdict(Enum):
    """What becomes of a second transport after a message on it."""

    WAIT = "wait"
    """It may still take over: nothing is said on the first one meanwhile."""
    SWAP = "swap"
    """It takes over."""
    DROP = "drop"
    """It is hung up, and the first one goes on."""


class Upgrade(Protocol):
    """The talk on a second transport before it takes over."""

    def receive(self, message: Message) -> tuple[Sequence[Payload], Verdict]:
        """What to say there, and what becomes of it."""
        ...


class Opening(msgspec.Struct, kw_only=True):
    """A wire's answer to a request that opens, resumes or joins a session."""

    machine: Machine | None
    session: str
    """The public id; for RESUME the id of the session to go on with."""
    role: Role = Role.NEW
    token: str = ""
    """The secret of the session: what the client showed; for NEW, what its next requests will
    show, where the wire does not leave that to `Welcome`."""
    received: int | None = None
    """For RESUME: the count of messages the client has; None: it will say so in an `Ack`. For
    DOWNLINK: the same, so that what a lost answer carried is said again; None: it cannot be."""
    subprotocol: str | None = None
    auth: Identity = Identity.HELLO
    credentials: Any = None
    """What the wire found in the request of who its client is: `Hello.credentials`."""
    is_claimed: bool = False
    """The id does not name its owner, who is found in the directory. Without a `token` the client
    made the id up: it is bound to the identity that opened it, and first requests that race meet at
    one node. With one, the wire gave both away before there was a session: it begins where the
    first request lands, also for RESUME and DOWNLINK, if `may_begin`, and has no other secret."""
    may_begin: bool = True
    """… and else there is no such session, if none stands."""
    follows: bool = False
    """For RESUME: the request does not say all that was settled, as what is spoken. The machine is
    a `Following`."""
    carrier: Carrier | None = None
    """What carries this request, where its route alone does not tell."""
    downlink: Downlink | None = None
    """How this request is answered, if it is one for what the session says."""
    uplink: Uplink | None = None
    """How this request is read, if it brings messages."""
    upgrade: Upgrade | None = None
    """For CANDIDATE."""
    headers: Headers = ()
    """More headers of the answer to this request: a cookie."""


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
    downlink: Downlink | None = None
    """How the payloads are said where the request was one for what a session says."""

    @classmethod
    def accepted(
        cls,
        code: int,
        reason: str,
        *,
        payloads: Sequence[Payload] = (),
        subprotocol: str | None = None,
        downlink: Downlink | None = None,
    ) -> "Answer":
        """Upgrade, say these payloads, close: what a browser can see of a refusal.

        With `downlink`: say them in the answer to an HTTP request.
        """
        return cls(
            status=101,
            code=code,
            reason=reason,
            payloads=payloads,
            subprotocol=subprotocol,
            downlink=downlink,
        )


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

    def routes(self) -> Sequence[Route]: ...

    def open(self, hello: Hello) -> Opening | Answer:
        """Start, resume, upgrade, or a plain answer. Never raises for what a peer may send."""
        ...

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """How this wire says no to an opening request."""
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
