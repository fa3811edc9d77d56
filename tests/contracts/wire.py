"""What every wire must do: run each of `CHECKS` with a `Case` of the wire.

    @pytest.mark.parametrize("check", CHECKS, ids=name)
    def test_the_wire_keeps_its_contract(check): check(CASE)

A case is a wire, a request that opens it, and the client's end; what the conversation's `caps`
promise is what is checked.
"""

import base64
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from anywire.body import Args, Body
from anywire.core.presence import PRESENCE
from anywire.errors import ProtocolError
from anywire.frames import (
    Ack,
    At,
    Bye,
    Cancel,
    Data,
    End,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Outcome,
    Position,
    Presence,
    Refusal,
    Reply,
    Since,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.outbox import Outbox
from anywire.payload import UNFRAMED, Carrier, Message, Payload
from anywire.wires.base import (
    Answer,
    Cap,
    Client,
    Downlink,
    Hello,
    Machine,
    Opening,
    Reason,
    Role,
    Route,
    Why,
    Wire,
)

SEED = bytes(range(32))
refs: st.SearchStrategy[str | int] = st.integers(-(2**53), 2**53) | st.text(min_size=1, max_size=16)


@dataclass(frozen=True, slots=True)
class Bodies:
    """The client's end of a wire's HTTP requests."""

    read: Callable[[Hello, bytes], Sequence[Message]]
    """The messages in the answer to this request, or in all that a stream said."""
    write: Callable[[Hello, Sequence[Payload]], bytes]
    """What the client says, as the body of this request."""
    queries: Mapping[Carrier, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    """What the requests of a carrier ask for; without a query, where nothing is said."""
    is_text: bool = False
    """Whether what the client hears by them is text alone, with base64 in the place of bytes."""


@dataclass(frozen=True, slots=True)
class Case:
    """A wire as the suite sees it."""

    name: str
    wire: Wire
    client: Callable[[], Client]
    hello: Hello = field(default_factory=Hello)
    """The opening request; its subprotocols, query and seed are replaced by the suite."""
    alias: str = "chat:lobby"
    """The address of the conversation, where there is only one."""
    has_lists: bool = True
    """Whether several arguments arrive as several; else as one list."""
    answers_have_lists: bool = True
    """… so too in an answer, where events do."""
    has_params: bool = True
    """Whether a client's join carries parameters."""
    refs: st.SearchStrategy[str | int] = refs
    """Refs that the wire can carry."""
    questions: st.SearchStrategy[str | int] | None = None
    """Refs of what a server asks, where those are others."""
    cancels: bool = True
    """Whether a server has words for what it wants no more."""
    aliases: st.SearchStrategy[str] = field(default_factory=lambda: st.text(max_size=30))
    """Aliases that the wire can spell."""
    is_terse: bool = False
    """Parameters of a join are an object, its answer has no data, and no end of a membership says
    why."""
    is_silent: bool = False
    """The answer to a join is yes or no, and the end of a membership is no; neither says more."""
    joins: bool = False
    """Nobody speaks at an address without having asked to be there."""
    arrives: Callable[[tuple[object, ...]], tuple[object, ...]] | None = None
    """What arrives of these arguments, where that follows rules of the wire's own."""
    ends_say_why: bool = True
    """Whether the end of a membership says why."""
    bodies: Bodies | None = None
    """… where the wire has HTTP requests."""


class Link:
    """Both ends of one conversation, in memory."""

    def __init__(self, case: Case, *, limits: Limits | None = None, client: Client | None = None):
        self.case = case
        self.client = client or case.client()
        self.opening = opened(case, self.client, limits=limits)
        assert self.opening.machine is not None
        self.machine: Machine = self.opening.machine
        self.client.opened(self.opening.subprotocol, 0.0)
        self.begun = list(self.machine.opened(0.0))
        if self.opening.role is Role.NEW:
            self.to_client(Welcome(self.opening.session, "secret", 25.0))
        if case.joins:
            self.to_server(Join(0, case.alias, case.alias, Body.of({})))
        self.begun += self.settle()
        if self.machine.is_single:
            self.to_client(Joined(None, case.alias))

    @property
    def caps(self) -> Cap:
        return self.machine.caps & self.client.caps

    def to_client(self, frame: Frame) -> list[Frame]:
        return self.client_hears(self.machine.send(frame))

    def to_server(self, frame: Frame) -> list[Frame]:
        return self.server_hears(self.client.send(frame))

    def client_hears(self, payloads: Sequence[Payload]) -> list[Frame]:
        return [
            frame
            for payload in payloads
            for message in payload.messages()
            for frame in self.client.receive(message, 1.0)
        ]

    def server_hears(self, payloads: Sequence[Payload]) -> list[Frame]:
        return [
            frame
            for payload in payloads
            for message in payload.messages()
            for frame in self.machine.receive(message, 1.0)
        ]

    def settle(self) -> list[Frame]:
        """Let both say what they have to say by themselves; it must come to an end."""
        heard: list[Frame] = []
        for _ in range(8):
            to_server, to_client = self.client.due(), self.machine.due()
            if not to_server and not to_client:
                return heard
            heard += self.server_hears(to_server)
            heard += self.client_hears(to_client)
        raise AssertionError("the two ends never stop talking")


def opened(
    case: Case, client: Client, *, limits: Limits | None = None, seed: bytes = SEED
) -> Opening:
    """The wire's answer to this client's request, which must be an opening."""
    request = client.opening()
    hello = request_hello(case, request.query, request.subprotocols, limits=limits, seed=seed)
    opening = case.wire.open(hello)
    assert isinstance(opening, Opening), opening
    return opening


def request_hello(
    case: Case,
    query: Mapping[str, str],
    subprotocols: Sequence[str],
    *,
    limits: Limits | None = None,
    seed: bytes = SEED,
) -> Hello:
    base = case.hello
    return Hello(
        path=base.path,
        address=base.address,
        parts=base.parts,
        query=query,
        subprotocols=subprotocols,
        seed=seed,
        clock=1_700_000_000.0,
        limits=limits or base.limits,
    )


# --- values

names = st.text(min_size=1, max_size=20)
WORDS = (
    "message said join joined leave event call reply item end cancel presence past gap ack beat "
    "bye ping pong auth welcome refused error type data id args hello seq"
).split()
own_words = st.sampled_from(WORDS)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | own_words, inner, max_size=3)
    ),
    max_leaves=6,
)
arguments = st.lists(values, max_size=2).map(tuple)


def expected(
    case: Case, caps: Cap, given_values: tuple[object, ...], *, has_lists: bool = True
) -> tuple[object, ...]:
    """What must arrive when these arguments are sent."""
    if case.arrives is not None:
        return case.arrives(given_values)
    arriving = given_values if caps & Cap.BINARY else tuple(map(as_text, given_values))
    if (case.has_lists and has_lists) or len(arriving) < 2:
        return arriving
    return (list(arriving),)


def as_text(value: object) -> object:
    """The value with base64 in the place of bytes."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [as_text(item) for item in value]
        case dict():
            return {key: as_text(item) for key, item in value.items()}
        case _:
            return value


def seen(data: Data | None) -> tuple[object, ...]:
    assert isinstance(data, Args)
    return tuple(data.values())


def one(frames: Sequence[Frame]) -> Frame:
    assert len(frames) == 1, frames
    return frames[0]


# --- round trips


def events_arrive_as_they_were_sent_both_ways(case: Case) -> None:
    def check(event: str, args: tuple[object, ...]) -> None:
        link = Link(case)
        frame = Event(case.alias, event, Body.of(*args))
        for heard in (one(link.to_client(frame)), one(link.to_server(frame))):
            assert isinstance(heard, Event), heard
            assert (heard.alias, heard.event, heard.want) == (case.alias, event, Want.NOTHING)
            assert seen(heard.args) == expected(case, link.caps, args)

    for word in {*WORDS} - {"message"} - case.wire.reserved:
        check(word, ({"a": 1},))
    ordinary = names.filter(lambda name: name not in {"message", *case.wire.reserved})
    given(ordinary, arguments)(check)()


def a_lone_text_or_bytes_message_arrives_as_it_was_sent(case: Case) -> None:
    @given(st.text(max_size=40))
    def check(text: str) -> None:
        assume(not text.startswith("{"))  # on a nameless wire, text may spell an event
        link = Link(case)
        frame = Event(case.alias, "message", Body.of(text))
        for heard in (one(link.to_client(frame)), one(link.to_server(frame))):
            assert isinstance(heard, Event)
            assert (heard.event, seen(heard.args)) == ("message", (text,))

    check()


def events_that_are_volatile_make_volatile_payloads(case: Case) -> None:
    link = Link(case)
    for volatile in (True, False):
        at = At(case.alias, volatile=volatile)
        payload = link.machine.codec.event(case.alias, "moved", Body.of(1), at)
        assert payload.volatile is volatile
        (payload,) = link.machine.send(Event(case.alias, "moved", Body.of(1), volatile=volatile))
        assert payload.volatile is volatile


def calls_of_the_client_are_answered_under_their_ref(case: Case) -> None:
    @given(case.refs, arguments)
    def check(ref: str | int, args: tuple[object, ...]) -> None:
        link = Link(case)
        if not link.caps & Cap.REPLY:
            return
        call = Event(case.alias, "say", Body.of(*args), ref=ref, want=Want.REPLY)
        heard = one(link.to_server(call))
        assert isinstance(heard, Event)
        assert (heard.ref, heard.want) == (ref, Want.REPLY)
        assert seen(heard.args) == expected(case, link.caps, args)
        answer = one(link.to_client(Reply(ref, case.alias, Body.of(*args))))
        assert isinstance(answer, Reply)
        assert (answer.ref, answer.code) == (ref, "")
        got = () if answer.data is None else seen(answer.data)
        assert got == expected(case, link.caps, args, has_lists=case.answers_have_lists)
        link.to_server(call)
        failure = one(link.to_client(Reply(ref, case.alias, None, "busy", "later")))
        assert isinstance(failure, Reply | Refusal)
        assert (failure.ref, failure.code, failure.text) == (ref, "busy", "later")

    check()


def calls_of_the_server_are_answered_under_their_ref(case: Case) -> None:
    @given(case.refs if case.questions is None else case.questions, arguments)
    def check(ref: str | int, args: tuple[object, ...]) -> None:
        link = Link(case)
        if not link.caps & Cap.CALL:
            return
        call = Event(case.alias, "ask", Body.of(*args), ref=ref, want=Want.REPLY)
        to_many = link.machine.codec.event(
            case.alias, "ask", Body.of(*args), At(case.alias, ref=ref)
        )
        for heard in (one(link.to_client(call)), one(link.client_hears([to_many]))):
            assert isinstance(heard, Event)
            assert (heard.ref, heard.want) == (ref, Want.REPLY)
            assert seen(heard.args) == expected(case, link.caps, args)
        answer = one(link.to_server(Reply(ref, case.alias, Body.of(*args))))
        assert isinstance(answer, Reply)
        assert answer.ref == ref
        got = () if answer.data is None else seen(answer.data)
        assert got == expected(case, link.caps, args, has_lists=case.answers_have_lists)
        failure = one(link.to_server(Reply(ref, case.alias, None, "busy", "later")))
        assert isinstance(failure, Reply)
        assert (failure.ref, failure.code, failure.text) == (ref, "busy", "later")

    check()


def streams_go_both_ways(case: Case) -> None:
    @given(case.refs, values)
    def check(ref: str | int, value: object) -> None:
        uploads = ("one", "two")
        call = Event(case.alias, "count", Body.of(1), ref=ref, want=Want.STREAM, streams=uploads)
        for last in (End(ref), End(ref, "busy", "later"), Cancel(ref)):
            link = Link(case)
            if not link.caps & Cap.STREAM:
                return
            heard = one(link.to_server(call))
            assert isinstance(heard, Event)
            assert (heard.ref, heard.want, heard.streams) == (ref, Want.STREAM, uploads)
            for say in (link.to_client, link.to_server):
                item = one(say(Item(ref, Body.of(value))))
                assert isinstance(item, Item)
                assert (item.ref, seen(item.data)) == (ref, expected(case, link.caps, (value,)))
                said = say(last)
                has_words = say == link.to_server or isinstance(last, End) or case.cancels
                assert said == ([last] if has_words else [])

    check()


def joins_are_answered_and_memberships_end(case: Case) -> None:
    @given(case.refs, case.aliases.filter(bool), values)
    def check(ref: str | int, alias: str, value: object) -> None:
        link = Link(case)
        if not link.caps & Cap.MANY:
            return
        if case.is_silent:
            joins_are_answered_silently(link, Join(ref, alias, alias))
            return
        params = Body.of(value) if case.has_params and value is not None else Body.of()
        if case.is_terse:
            joins_are_answered_tersely(
                link, Join(ref, alias, alias, Body.of({"value": str(value)}))
            )
            return
        join = one(link.to_server(Join(ref, alias, alias, params)))
        assert isinstance(join, Join)
        assert (join.ref, join.alias) == (ref, alias)
        assert seen(join.params) == expected(case, link.caps, params.values)
        joined = one(link.to_client(Joined(ref, alias, Body.of({"hello": 1}))))
        assert isinstance(joined, Joined)
        assert (joined.ref, joined.alias, seen(joined.data)) == (ref, alias, ({"hello": 1},))
        refusal = one(link.to_client(Refusal(ref, alias, "staff_only", "no")))
        assert refusal == Refusal(ref, alias, "staff_only", "no")
        event = one(link.to_client(Refusal(None, alias, "unknown_event", "no", event="sya")))
        assert event == Refusal(None, alias, "unknown_event", "no", event="sya")
        leave = one(link.to_server(Leave(alias)))
        assert isinstance(leave, Leave) and leave.alias == alias
        left = one(link.to_client(Leave(alias, code="kicked", text="bye")))
        assert isinstance(left, Leave)
        assert left.alias == alias
        assert (left.code, left.text) == ("kicked", "bye") or not case.ends_say_why

    check()


def joins_are_answered_tersely(link: Link, join: Join) -> None:
    alias = join.alias
    asked = link.to_server(join)[-1]
    assert isinstance(asked, Join)
    assert (asked.alias, seen(asked.params)) == (alias, seen_body(join.params))
    joined = one(link.to_client(Joined(None, alias, member="m1")))
    assert joined == Joined(join.ref, alias, None, member="m1")
    left = one(link.to_client(Leave(alias, code="kicked", text="bye")))
    assert isinstance(left, Leave) and left.alias == alias
    link.to_server(join)
    refusal = one(link.to_client(Refusal(None, alias, "staff_only", "no")))
    assert isinstance(refusal, Refusal)
    assert (refusal.ref, refusal.alias) == (join.ref, alias)
    assert (refusal.code, refusal.text) == ("staff_only", "no")
    link.to_server(join)
    leave = one(link.to_server(Leave(alias)))
    assert isinstance(leave, Leave) and leave.alias == alias


def joins_are_answered_silently(link: Link, join: Join) -> None:
    alias = join.alias
    for answer in (Refusal(None, alias, "staff_only", "no"), Leave(alias, code="kicked")):
        asked = one(link.to_server(join))
        assert isinstance(asked, Join) and asked.alias == alias
        if isinstance(answer, Leave):
            assert one(link.to_client(Joined(None, alias))) == Joined(join.ref, alias)
        said = one(link.to_client(answer))
        assert isinstance(said, type(answer)) and said.alias == alias
    one(link.to_server(join))
    assert one(link.to_server(Leave(alias))) == Leave(alias)


def seen_body(data: Data) -> tuple[object, ...]:
    return tuple(data.body().values)


def an_alias_is_kept_byte_for_byte(case: Case) -> None:
    @given(case.aliases)
    def check(alias: str) -> None:
        check_one(alias)

    def check_one(alias: str) -> None:
        link = Link(case)
        if not link.caps & Cap.MANY:
            alias = case.alias
        at = At("chat:lobby")
        payload = link.machine.codec.event(alias, "said", Body.of(1), at)
        heard = one(link.client_hears([payload]))
        assert isinstance(heard, Event) and heard.alias == alias

    check()
    if not case.is_terse:
        check_one('{"channel":"chat", "room" : "lobby"}')
        check_one("caf\u00e9 cafe\u0301\x00\t\n ")


def a_lone_membership_is_joined_by_the_machine(case: Case) -> None:
    link = Link(case)
    joins = [frame for frame in link.begun if isinstance(frame, Join)]
    if link.caps & Cap.MANY:
        assert not joins
    else:
        assert [join.alias for join in joins] == [case.alias]
        assert link.machine.is_single or link.to_client(Refusal(None, case.alias, "no", "out"))


def presence_is_told(case: Case) -> None:
    link = Link(case)
    change = Presence(case.alias, {"ana": [{"status": "here"}]}, {"bo": [{}]})
    heard = one(link.to_client(change))
    if link.caps & Cap.PRESENCE:
        assert heard == change
        assert one(link.client_hears([link.machine.codec.presence(case.alias, change)])) == change
        whole = Presence(case.alias, {}, {}, whole=True)
        assert one(link.to_client(whole)) == whole
    else:
        assert isinstance(heard, Event) and heard.event == "presence"
        (about,) = seen(heard.args)
        assert isinstance(about, dict)
        assert about["joined"] == {"ana": [{"status": "here"}]}


def a_client_comes_back_from_where_it_was(case: Case) -> None:
    @given(st.integers(1, 2**53), names, names)
    def check(offset: int, epoch: str, room: str) -> None:
        link = Link(case)
        if not link.caps & Cap.RECOVER:
            return
        at = At(room, Position(offset, epoch), mark=offset)
        payload = link.machine.codec.event(case.alias, "said", Body.of(1), at)
        heard = one(link.client_hears([payload]))
        assert isinstance(heard, Event)
        since = None
        if heard.position is not None:
            assert heard.position == at.position
            assert (heard.room or heard.alias) == room
            since = Since({room: heard.position})
        again = Link(case, client=link.client)
        join = one(again.to_server(Join(1, case.alias, case.alias, since=since)))
        assert isinstance(join, Join) and join.since is not None
        assert join.since == (since or Since(mark=offset))
        if since is not None:
            answer = Joined(1, case.alias, None, Outcome.LOST, "epoch", since.positions)
            assert one(again.to_client(answer)) == answer

    check()


# --- what a codec promises


def nothing_of_a_session_stands_in_a_broadcast(case: Case) -> None:
    @given(names, arguments)
    def check(event: str, args: tuple[object, ...]) -> None:
        first = opened(case, case.client()).machine
        second = opened(case, case.client(), seed=b"another seed of thirty-two bytes").machine
        assert first is not None and second is not None
        first.opened(0.0)
        assert first.codec.name == second.codec.name
        at = At("chat:lobby", Position(3, "k"), mark=3)
        written = [
            list(machine.codec.event(case.alias, event, Body.of(*args), at).messages())
            for machine in (first, second)
        ]
        assert written[0] == written[1]

    check()


def the_words_of_a_wire_are_reserved(case: Case) -> None:
    reserved = {*case.wire.reserved, PRESENCE}
    assert "message" not in reserved
    assert all(reserved)
    link = Link(case)
    says: Sequence[Frame] = (
        Gap(case.alias, 3),
        Refusal(None, case.alias, "busy", "later", None, "say"),
        Refusal(None, case.alias, "busy", "later"),
        Presence(case.alias, {"ana": [{}]}, {}),
    )
    for frame in says:
        for heard in link.to_client(frame):
            # What it says by itself must never be taken for a word of the application.
            assert not isinstance(heard, Event) or heard.event in reserved


def machine_traffic_is_taken_once(case: Case) -> None:
    link = Link(case)
    for end in (link.machine, link.client):
        end.due()
        assert not end.due()


def codecs_that_write_different_bytes_have_different_names(cases: Sequence[Case]) -> None:
    """For all the cases of an app at once."""
    at = At("chat:lobby", Position(3, "k"), mark=3)
    written: dict[str, list[Message]] = {}
    for case in cases:
        machine = opened(case, case.client()).machine
        assert machine is not None
        codec = machine.codec
        payload = codec.event("chat:lobby", "said", Body.of({"a": b"1"}), at)
        messages = list(payload.messages())
        assert written.setdefault(codec.name, messages) == messages
    assert len(set(map(repr, written.values()))) == len(written)


# --- bad input


def survives(receive: Callable[[Message, float], Sequence[Frame]], message: Message) -> bool:
    """Whether the message was taken; anything but a refusal in order fails the check."""
    try:
        frames = receive(message, 1.0)
    except ProtocolError as error:
        assert 1000 <= error.code <= 4999
        assert 0 < len(error.reason.encode()) <= 123
        return False
    for frame in frames:
        for name in ("args", "data", "params", "credentials"):
            data = getattr(frame, name, None)
            if isinstance(data, Args):
                try:
                    data.values()
                except ValueError:
                    pass  # the binder's refusal
    return True


def junk_ends_in_frames_or_a_protocol_error(case: Case) -> None:
    @given(st.lists(st.text(max_size=60) | st.binary(max_size=60), min_size=1, max_size=4))
    @example(["{", b"\xdf\xff\xff\xff\xff", b"\xc1", "null", "[]", '{"type":{}}', "{}"])
    @example(
        ['{"type":"join","address":"\\ud800"}', '{"type":1e999}', b"\x82\xa4type\xa1\xff\xa1a\xc0"]
    )
    def check(messages: list[Message]) -> None:
        for message in messages:
            link = Link(case)
            survives(link.machine.receive, message)
            survives(link.client.receive, message)

    check()


def broken_messages_end_in_frames_or_a_protocol_error(case: Case) -> None:
    frames: list[Frame] = [
        Event(case.alias, "say", Body.of({"text": "hi", "n": [1, None]}, b"\xff\x00")),
        Event(case.alias, "say", Body.of(1), ref=7, want=Want.REPLY, id="k", volatile=True),
        Event(case.alias, "say", Body.of(), ref="r", want=Want.STREAM, streams=(1, 2)),
        Join(1, case.alias, case.alias, Body.of({"a": 1}), Since({"r": Position(1, "e")})),
        Leave(case.alias),
        Reply(7, case.alias, Body.of(1)),
        Item(7, Body.of(1)),
        End(7),
        Cancel(7),
        Ack(3),
        Bye(1000),
    ]
    answers: list[Frame] = [
        Welcome("s", "t", 1.0, limits={"message": 1}),
        Joined(1, case.alias, Body.of(1), Outcome.LOST, "epoch", {"r": Position(1, "e")}),
        Refusal(1, case.alias, "no", "out", Body.of(1), "say"),
        Presence(case.alias, {"a": [1]}, {}),
        *frames,
    ]

    @given(st.data())
    def check(data: st.DataObject) -> None:
        link = Link(case)
        said = [p for frame in frames for p in link.client.send(frame)]
        told = [p for frame in answers for p in link.machine.send(frame)]
        for payloads, receive in ((said, link.machine.receive), (told, link.client.receive)):
            payload = data.draw(st.sampled_from(payloads))
            for message in payload.messages():
                survives(receive, data.draw(mutated(message)))

    check()


@st.composite
def mutated(draw: st.DrawFn, message: Message) -> Message:
    """The message with a piece replaced, doubled or gone, or of the other kind."""
    start = draw(st.integers(0, len(message)))
    end = draw(st.integers(start, min(len(message), start + 6)))
    if isinstance(message, str):
        piece = draw(
            st.sampled_from(["", "null", "-1", "[]", "{}", '"', "\x00", "1e400", "9" * 30])
        )
        broken: Message = message[:start] + piece + message[end:]
    else:
        broken = message[:start] + draw(st.binary(max_size=5)) + message[end:]
    if draw(st.booleans()) and draw(st.booleans()):
        return broken.encode() if isinstance(broken, str) else broken.decode("latin-1")
    return broken


def what_nests_too_deep_is_refused(case: Case) -> None:
    link = Link(case)
    deep: object = 1
    for _ in range(link.case.hello.limits.nesting * 4):
        deep = [deep]
    for payload in link.client.send(Event(case.alias, "say", Body.of({"deep": deep}))):
        for message in payload.messages():
            taken = survives(link.machine.receive, message)
            assert not taken or not case.has_lists
    for text in ("[" * 20_000, '{"a":' * 20_000, "[" * 20_000 + "]" * 20_000):
        survives(Link(case).machine.receive, text)
        survives(Link(case).machine.receive, text.encode())
    survives(Link(case).machine.receive, b"\x91" * 20_000 + b"\xc0")
    survives(Link(case).machine.receive, b"\x81\xa1a" * 10_000 + b"\xc0")


def a_payload_as_deep_as_allowed_passes(case: Case) -> None:
    link = Link(case)
    deep: object = 1
    for _ in range(link.case.hello.limits.nesting):
        deep = [deep]
    heard = one(link.to_server(Event(case.alias, "say", Body.of(deep))))
    assert isinstance(heard, Event) and seen(heard.args) == (deep,)


def what_is_too_large_is_refused(case: Case) -> None:
    limits = Limits(message=400)
    for blob in ("x" * 500, "\u20ac" * 150, b"x" * 500):
        link = Link(case, limits=limits)
        taken = [
            survives(link.machine.receive, message)
            for payload in link.client.send(Event(case.alias, "say", Body.of(blob)))
            for message in payload.messages()
        ]
        assert not all(taken)
    link = Link(case, limits=limits)
    small = one(link.to_server(Event(case.alias, "say", Body.of("x" * 100))))
    assert isinstance(small, Event)


def more_attachments_than_allowed_are_refused(case: Case) -> None:
    limits = Limits(attachments=2)
    for count in (2, 3):
        link = Link(case, limits=limits)
        frame = Event(case.alias, "say", Body.of([b"x"] * count))
        for payload in link.client.send(frame):
            taken = [survives(link.machine.receive, message) for message in payload.messages()]
            assert all(taken) is (count <= 2 or not payload.rest)


def opening_never_raises(case: Case) -> None:
    short = st.text(max_size=12)
    words = st.sampled_from(
        ["session", "token", "resume", "received", "offset", "epoch", "last", "key"]
    )
    numbers = st.sampled_from(["0", "-1", "9" * 40, "\u0663", "1.5", ""])

    @given(
        st.dictionaries(words | short, numbers | short),
        st.lists(short | st.sampled_from(["anywire.json.1", "anywire.msgpack.1"]), max_size=3),
        short,
        st.none() | short,
    )
    def check(
        query: dict[str, str], subprotocols: list[str], path: str, address: str | None
    ) -> None:
        hello = request_hello(case, query, subprotocols)
        hello.path = f"/{path}"
        hello.address = address
        answer = case.wire.open(hello)
        if isinstance(answer, Answer):
            assert 400 <= answer.status < 500 and answer.body
        else:
            assert answer.session
            assert answer.subprotocol is None or answer.subprotocol in subprotocols

    check()


def every_refusal_has_its_answer(case: Case) -> None:
    for reason in Reason:
        for text in ("", "not now", "\u20ac" * 200):
            request = case.client().opening()
            hello = request_hello(case, request.query, request.subprotocols)
            answer = case.wire.refuse(hello, Why(reason, "code", text, {"a": 1}))
            if answer.code is None:
                assert 400 <= answer.status < 600
            else:
                assert reason is not Reason.ORIGIN, "a foreign origin gets no upgrade"
                assert 1000 <= answer.code <= 4999
                assert len(answer.reason.encode()) <= 123
                assert answer.subprotocol is None or answer.subprotocol in request.subprotocols
                client = case.client()
                client.opened(answer.subprotocol, 0.0)
                for payload in answer.payloads:
                    for message in payload.messages():
                        client.receive(message, 0.0)


# --- requests


def requests_hold_what_was_said(case: Case) -> None:
    """Both ways, in each of the wire's HTTP requests."""

    @given(st.lists(arguments, max_size=3))
    @example([])
    @example([("one",), (), ("three", 3)])
    def check(events: list[tuple[object, ...]]) -> None:
        for hello, opening in asked(case):
            assert (opening.downlink is None) is (hello.carrier is Carrier.POST)
            assert (opening.uplink is None) is (hello.carrier is not Carrier.POST)
            frames = [Event(case.alias, "say", Body.of(*args)) for args in events]
            link = Link(case)
            if opening.downlink is not None:
                payloads = [p for frame in frames for p in link.machine.send(frame)]
                messages = read(case, hello, opening.downlink, payloads)
                heard = [f for one in messages for f in link.client.receive(one, 1.0)]
            elif opening.uplink is not None and events and not opening.uplink.is_goodbye:
                payloads = [p for frame in frames for p in link.client.send(frame)]
                taken = opening.uplink.unpack(bodies_of(case).write(hello, payloads))
                assert not isinstance(taken, Answer), taken
                heard = [f for one in taken for f in link.machine.receive(one, 1.0)]
            else:
                continue
            said = [seen(frame.args) for frame in heard if isinstance(frame, Event)]
            wanted = [expected(case, link.caps, args) for args in events]
            if opening.downlink is not None and bodies_of(case).is_text:
                wanted = [tuple(map(as_text, args)) for args in wanted]
            assert said == wanted, hello.path

    check()


def requests_that_have_nothing_to_say_say_nothing(case: Case) -> None:
    for hello, opening in asked(case):
        said = opening.downlink
        if said is None:
            continue
        lasts = [said.idle, said.closed] if said.pack is not None else [said.prelude]
        if said.farewell is not None:
            headers, last = said.farewell(4003, "out \u00e9\n")
            assert all(_is_header(name) and _is_header(value) for name, value in headers)
            assert not (last and said.pack is not None), "a poll is told by its headers"
            lasts.append(last)
        client = Link(case).client
        for body in lasts:
            frames = [f for m in bodies_of(case).read(hello, body) for f in client.receive(m, 1.0)]
            assert not [frame for frame in frames if isinstance(frame, Event)]


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


def junk_in_a_body_is_messages_or_an_answer_or_a_protocol_error(case: Case) -> None:
    uplinks = [opening.uplink for _, opening in asked(case) if opening.uplink is not None]

    @given(st.binary(max_size=80))
    def check(junk: bytes) -> None:
        for uplink in uplinks:
            try:
                found = uplink.unpack(junk)
            except ProtocolError as error:
                assert 1000 <= error.code <= 4999
            else:
                if isinstance(found, Answer):
                    assert 400 <= found.status < 600
                else:
                    assert all(isinstance(message, str | bytes) for message in found)

    check()
    assert all(200 <= uplink.taken.status < 300 for uplink in uplinks)


def requests_never_raise(case: Case) -> None:
    routes = [route for route in case.wire.routes() if route.carrier is not Carrier.WEBSOCKET]
    short = st.text(max_size=12)
    words = st.sampled_from(
        ["session", "resume", "received", "ack", "from", "key", "sid", "c", "t"]
    )

    @given(st.dictionaries(words | short, short), short, st.dictionaries(words, short))
    def check(query: dict[str, str], part: str, cookies: dict[str, str]) -> None:
        for route in routes:
            hello = request_to(case, route, query)
            hello.parts = dict.fromkeys(hello.parts, part)
            hello.address = hello.parts.get("address")
            hello.cookies = cookies
            answer = case.wire.open(hello)
            if isinstance(answer, Answer):
                assert 200 <= answer.status < 600
            else:
                assert answer.session and route.carrier is not Carrier.REPLY

    check()


def framings_write_the_same_bytes_for_the_same_key(case: Case) -> None:
    payloads = Link(case).machine.send(Event(case.alias, "say", Body.of({"a": 1}, "b")))
    written: dict[tuple[str, int], list[bytes | None]] = {}
    for _, opening in asked(case):
        if opening.downlink is not None:
            framing = opening.downlink.framing
            framed = [framing.frame(payload) for payload in payloads]
            assert written.setdefault(framing.key, framed) == framed
            assert opening.downlink.pack is not None or None not in framed


def a_request_that_is_refused_is_answered_in_words_it_understands(case: Case) -> None:
    for hello, _ in asked(case):
        for reason in Reason:
            answer = case.wire.refuse(hello, Why(reason, "code", "not now", {"a": 1}))
            if answer.downlink is None:
                assert answer.code is None, "a request is no upgrade"
                assert 400 <= answer.status < 600
            else:
                assert reason is not Reason.ORIGIN, "a foreign origin hears nothing"
                client = case.client()
                client.opened(None, 0.0)
                for message in read(case, hello, answer.downlink, answer.payloads):
                    client.receive(message, 0.0)


def asked(case: Case) -> list[tuple[Hello, Opening]]:
    """Each HTTP request of the wire, and what becomes of it."""
    found = []
    for route in case.wire.routes():
        if route.carrier in (Carrier.WEBSOCKET, Carrier.REPLY):
            continue
        for query in bodies_of(case).queries.get(route.carrier, ({},)):
            hello = request_to(case, route, query)
            opening = case.wire.open(hello)
            assert isinstance(opening, Opening), (route, query, opening)
            found.append((hello, opening))
    return found


def request_to(case: Case, route: Route, query: Mapping[str, str]) -> Hello:
    """A request to this route: its path with the parts that the case's own request has, or any."""
    base = case.hello
    names = re.findall(r"\{([a-z_]+)\}", route.path)
    parts = {name: base.parts.get(name, base.address or name) for name in names}
    hello = request_hello(case, query, ())
    hello.method = "GET" if route.method == "*" else route.method
    hello.carrier = route.carrier
    hello.path = route.path.format(**parts)
    hello.parts = parts
    hello.address = parts.get("address")
    return hello


def read(
    case: Case, hello: Hello, downlink: Downlink, payloads: Sequence[Payload]
) -> list[Message]:
    """What the client reads of answers that hold these: of one stream, or of poll after poll."""
    bodies = bodies_of(case)
    if downlink.pack is None:
        parts = [downlink.framing.frame(payload) or b"" for payload in payloads]
        return list(bodies.read(hello, downlink.prelude + b"".join(parts)))
    messages: list[Message] = []
    while payloads:
        body, count = downlink.pack(payloads)
        assert 1 <= count <= len(payloads)
        messages += bodies.read(hello, body)
        payloads = payloads[count:]
    return messages


def bodies_of(case: Case) -> "Bodies":
    assert case.bodies is not None, "this wire has HTTP requests: say how its client reads them"
    return case.bodies


# --- time


def deadlines_go_on_and_come_to_an_end(case: Case) -> None:
    link = Link(case)
    for end in (link.machine, link.client):
        end.heard(10.0)
        now, ticks = 10.0, 0
        is_over = False
        while (when := end.deadline()) is not None:
            assert when > now, "a deadline that has passed would spin"
            assert not end.tick((now + when) / 2), "nothing is due before its time"
            assert end.deadline() == when
            now = when
            is_over = any(isinstance(frame, Bye) for frame in end.tick(now))
            end.due()
            ticks += 1
            assert ticks <= 10 and now < 1000.0
        assert is_over or ticks == 0
        end.heard(now + 1.0)
        end.heard(now + 2.0)
        later = end.deadline()
        assert later is None or later > now + 2.0


# --- resume


class Ends:
    """A session's two ends over a chain of transports, with what is on its way between them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.client = case.client()
        self.boxes = [outbox(), outbox()]
        self.heard: list[list[object]] = [[], []]
        self.received = 0
        self.session = ""
        self.is_resuming = False
        self.cut()

    def cut(self) -> None:
        """Lose what is on its way and open again."""
        self.lines: list[deque[Message]] = [deque(), deque()]
        """On their way: to the server, to the client."""
        self.opening = opened(self.case, self.client)
        machine = self.opening.machine
        assert machine is not None
        self.machine = machine
        self.is_held = [False, True]
        self.client.opened(self.opening.subprotocol, 0.0)
        self.machine.opened(0.0)
        if self.opening.role is Role.NEW:
            assert not self.session
            self.session = self.opening.session
            welcome = Welcome(self.session, "secret", 25.0)
        else:
            assert (self.opening.session, self.opening.token) == (self.session, "secret")
            count = self.opening.received
            self.is_held[0] = count is None
            assert count is None or self.boxes[0].rewind(count)
            acked = self.boxes[0].acked
            welcome = Welcome(
                self.session, "secret", 25.0, resumed=True, received=self.received, acked=acked
            )
        self.on_the_way(1, self.machine.send(welcome))

    def on_the_way(self, to: int, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            assert not payload.counted, "a machine's own traffic is not counted"
            self.lines[to] += payload.messages()

    def send(self, side: int, number: int) -> None:
        """Side 0 is the server."""
        frame = Event(self.case.alias, "said", Body.of(number))
        end = self.client if side else self.machine
        for payload in end.send(frame):
            self.boxes[side].put(payload.framed(UNFRAMED))

    def write(self) -> None:
        for side in (0, 1):
            self.on_the_way(1 - side, (self.client if side else self.machine).due())
            if not self.is_held[side]:
                for framed in self.boxes[side].take(1 << 20):
                    self.lines[1 - side] += framed.payload.messages()

    def deliver(self, to: int) -> None:
        """One message reaches the server (0) or the client (1)."""
        self.write()
        if not self.lines[to]:
            return
        end = self.client if to else self.machine
        for frame in end.receive(self.lines[to].popleft(), 1.0):
            match frame:
                case Event():
                    self.heard[to] += seen(frame.args)
                case Ack() if self.is_held[to]:
                    assert self.boxes[to].rewind(frame.seq)
                    self.is_held[to] = False
                case Ack():
                    assert self.boxes[to].ack(frame.seq)
                case Welcome():
                    self.on_the_way(0, self.client.due())
                    assert not frame.resumed or self.boxes[1].rewind(frame.received)
                    self.is_held[1] = False
                case _:
                    raise AssertionError(frame)
        self.received = self.machine.received

    def finish(self) -> None:
        for _ in range(10_000):
            self.write()
            if not any(self.lines):
                return
            for to in (0, 1):
                self.deliver(to)
        raise AssertionError("the two ends never stop talking")


def outbox() -> Outbox:
    return Outbox(bound=1 << 20, kept_bytes=1 << 20, kept_messages=1000)


def both_ends_count_alike_wherever_they_are_cut(case: Case) -> None:
    steps = st.sampled_from(["say", "ask", "up", "down", "up", "down", "cut"])

    @given(st.lists(steps, max_size=60))
    @example(["say"] * 70 + ["up"] * 5 + ["down"] * 70 + ["cut", "cut", "ask", "cut"])
    @example(["down", "ask", "say", "up", "down", "cut"])
    @example((["say", "ask"] * 70 + ["up", "down"] * 80 + ["say", "ask", "cut"]) * 2)
    def check(script: list[str]) -> None:
        if not Link(case).caps & Cap.RESUME:
            return
        ends = Ends(case)
        ends.deliver(1)  # the first welcome arrives: without it there is nothing to resume
        said: list[list[int]] = [[], []]
        for number, step in enumerate(script):
            match step:
                case "say" | "ask":
                    side = int(step == "ask")
                    ends.send(side, number)
                    said[1 - side].append(number)
                case "up" | "down":
                    ends.deliver(int(step == "down"))
                case _:
                    ends.cut()
        ends.finish()
        assert ends.heard == said
        assert ends.machine.received == len(said[0])

    check()


def a_refused_resume_begins_anew(case: Case) -> None:
    link = Link(case)
    if not link.caps & Cap.RESUME:
        return
    for number in range(3):
        link.to_client(Event(case.alias, "said", Body.of(number)))
    again = Link(case, client=link.client)
    assert again.opening.role is Role.RESUME
    welcome = one(again.to_client(Welcome("another", "secret", 25.0)))
    assert isinstance(welcome, Welcome) and not welcome.resumed
    third = Link(case, client=link.client)
    assert (third.opening.session, third.opening.received or 0) == ("another", 0)


CHECKS: Sequence[Callable[[Case], Any]] = (
    events_arrive_as_they_were_sent_both_ways,
    a_lone_text_or_bytes_message_arrives_as_it_was_sent,
    events_that_are_volatile_make_volatile_payloads,
    calls_of_the_client_are_answered_under_their_ref,
    calls_of_the_server_are_answered_under_their_ref,
    streams_go_both_ways,
    joins_are_answered_and_memberships_end,
    an_alias_is_kept_byte_for_byte,
    a_lone_membership_is_joined_by_the_machine,
    presence_is_told,
    a_client_comes_back_from_where_it_was,
    nothing_of_a_session_stands_in_a_broadcast,
    the_words_of_a_wire_are_reserved,
    machine_traffic_is_taken_once,
    junk_ends_in_frames_or_a_protocol_error,
    broken_messages_end_in_frames_or_a_protocol_error,
    what_nests_too_deep_is_refused,
    a_payload_as_deep_as_allowed_passes,
    what_is_too_large_is_refused,
    more_attachments_than_allowed_are_refused,
    opening_never_raises,
    every_refusal_has_its_answer,
    requests_hold_what_was_said,
    requests_that_have_nothing_to_say_say_nothing,
    junk_in_a_body_is_messages_or_an_answer_or_a_protocol_error,
    requests_never_raise,
    framings_write_the_same_bytes_for_the_same_key,
    a_request_that_is_refused_is_answered_in_words_it_understands,
    deadlines_go_on_and_come_to_an_end,
    both_ends_count_alike_wherever_they_are_cut,
    a_refused_resume_begins_anew,
)
