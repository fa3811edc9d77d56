"""One talk over a real connection: what it says, shows and exits with."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from anywire import Anywire, Hello, Refused, User
from anywire.cli.conversation import Conversation, RawConversation, WireConversation
from anywire.cli.entry import Entry, Exit
from anywire.cli.talking import Plan, Talk
from anywire.client.websocket import SocketDialer
from anywire.wires.anywire import OwnClient
from anywire.wires.base import Request
from tests.cli.commands import served

pytestmark = pytest.mark.net

DIALER = SocketDialer()

Serve = Callable[[ServerConnection], Awaitable[None]]


class Told:
    """What a talk showed and complained of."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.complaints: list[str] = []
        self.code: Exit | None = None
        self.on_entry: Callable[[Entry], None] = lambda _: None

    def show(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.on_entry(entry)

    def heard(self, kind: str = "text") -> list[object]:
        return [one.data for one in self.entries if one.direction == "in" and one.type == kind]

    @property
    def close(self) -> object:
        return self.entries[-1].data


def talk_to(
    url: str,
    told: Told,
    conversation: Conversation | None = None,
    *,
    timeout: float = 5.0,
    wait: float | None = 0.0,
    is_strict: bool = True,
    has_slash: bool = False,
    shows_pings: bool = False,
    ping: float | None = None,
) -> Talk:
    plan = Plan(
        url=url,
        request=Request(),
        timeout=timeout,
        wait=wait,
        is_strict=is_strict,
        has_slash=has_slash,
        shows_pings=shows_pings,
        ping=ping,
    )
    return Talk(
        plan,
        conversation or RawConversation(),
        show=told.show,
        complain=told.complaints.append,
    )


async def lines(*said: str) -> AsyncIterator[str]:
    for line in said:
        yield line


async def typed_for_ever() -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield "never"


@asynccontextmanager
async def server(handler: Serve, *, answer: Response | None = None) -> AsyncIterator[str]:
    def process(_: ServerConnection, __: HttpRequest) -> Response | None:
        return answer

    async with serve(
        handler, "127.0.0.1", 0, process_request=process, close_timeout=0.1
    ) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}/"


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def closing(code: int, reason: str = "") -> Serve:
    async def handler(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    return handler


async def test_it_says_every_line_in_order_waits_and_closes() -> None:
    closed: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        await echo(connection)
        closed.append(connection.close_code)

    told = Told()
    async with server(handler) as url:
        talk = talk_to(url, told, wait=None)
        told.on_entry = lambda entry: (
            talk.stop() if entry.data == "three" and (entry.direction == "in") else None
        )
        assert await talk.run(DIALER, lines("one", "two", "three")) is Exit.MEANT
    assert told.heard() == ["one", "two", "three"]
    assert told.close == {"code": 1000, "reason": ""}
    assert closed == [1000]
    assert told.complaints == []


async def test_no_wait_closes_after_the_last_line() -> None:
    got: list[str | bytes] = []

    async def handler(connection: ServerConnection) -> None:
        got.extend([message async for message in connection])

    async with server(handler) as url:
        assert await talk_to(url, Told(), wait=0.0).run(DIALER, lines("one", "two")) is Exit.MEANT
    assert got == ["one", "two"]


async def test_a_wait_is_as_long_as_was_asked() -> None:
    loop = asyncio.get_running_loop()
    async with server(echo) as url:
        before = loop.time()
        await talk_to(url, Told(), wait=0.05).run(DIALER, lines("one"))
        assert 0.05 <= loop.time() - before < 5.0


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (1000, Exit.MEANT),
        (1001, Exit.CUT),
        (1008, Exit.REFUSED),
        (1011, Exit.CUT),
        (4401, Exit.REFUSED),
        (4403, Exit.REFUSED),
        (4500, Exit.CUT),
    ],
)
async def test_a_close_by_the_server_decides_the_exit_code(code: int, exit_code: Exit) -> None:
    told = Told()
    async with server(closing(code, "so")) as url:
        assert await talk_to(url, told, wait=None).run(DIALER, lines()) is exit_code
    assert told.close == {"code": code, "reason": "so"}
    wanted = [] if exit_code is Exit.MEANT else [f"the server closed with code {code} (so)"]
    assert told.complaints == wanted


async def test_a_cut_connection_is_told() -> None:
    async def handler(connection: ServerConnection) -> None:
        connection.transport.abort()

    told = Told()
    async with server(handler) as url:
        assert await talk_to(url, told, wait=None).run(DIALER, typed_for_ever()) is Exit.CUT
    assert told.complaints[0].startswith("the server closed with code 1006")


@pytest.mark.parametrize(
    ("status", "exit_code", "why"),
    [
        (401, Exit.REFUSED, "refused us: the server answered 401 Unauthorized: log in"),
        (403, Exit.REFUSED, "refused us: the server answered 403 Forbidden: log in"),
        (404, Exit.UNREACHED, "the server answered 404 Not Found: log in"),
        (503, Exit.UNREACHED, "the server answered 503 Service Unavailable: log in"),
    ],
)
async def test_an_answer_that_is_no_upgrade_is_told_with_its_words(
    status: int, exit_code: Exit, why: str
) -> None:
    told = Told()
    no = Response(status, HTTPStatus(status).phrase, Headers(), b"log in\nmore")
    async with server(echo, answer=no) as url:
        assert await talk_to(url, told).run(DIALER, lines()) is exit_code
    assert why in told.complaints[0]
    assert told.entries == []


async def test_a_server_that_is_not_there_is_told() -> None:
    async with server(echo) as url:
        pass
    told = Told()
    assert await talk_to(url, told).run(DIALER, lines()) is Exit.UNREACHED
    assert told.complaints == [f"cannot connect to {url}: Connection refused"]


async def test_what_went_wrong_is_told_without_the_secrets_of_the_url() -> None:
    async with server(echo) as url:
        pass
    told = Told()
    secret = url.replace("ws://", "ws://ana:s3cret@") + "chat?token=s3cret"
    assert await talk_to(secret, told).run(DIALER, lines()) is Exit.UNREACHED
    assert told.complaints == [f"cannot connect to {url}chat: Connection refused"]


async def test_a_name_that_is_none_is_told() -> None:
    told = Told()
    assert await talk_to("ws://nowhere.invalid/", told).run(DIALER, lines()) is Exit.UNREACHED
    assert told.complaints[0].startswith("cannot connect to ws://nowhere.invalid/: ")


async def test_a_server_that_never_answers_is_a_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    told = Told()
    async with listener:
        talk = talk_to(f"ws://{host}:{port}/", told, timeout=0.05)
        assert await talk.run(DIALER, lines()) is Exit.CUT
    assert told.complaints == [f"no connection to ws://{host}:{port}/ within 0.05 s (--timeout)"]


async def test_a_signal_closes_and_is_meant() -> None:
    told = Told()
    async with server(echo) as url:
        talk = talk_to(url, told, wait=None)
        told.on_entry = lambda entry: (
            os.kill(os.getpid(), signal.SIGTERM) if entry.type == "open" else None
        )
        assert await talk.run(DIALER, typed_for_ever()) is Exit.MEANT
    assert told.close == {"code": 1000, "reason": ""}


async def test_a_signal_while_connecting_ends_at_once() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await reader.read(-1)
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    async with listener:
        talk = talk_to(f"ws://{host}:{port}/", Told())
        assert await talk.run(DIALER, lines()) is Exit.UNREACHED


async def test_a_server_that_does_not_say_goodbye_is_left_at_the_second_signal() -> None:
    release = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await release.wait()

    told = Told()
    async with server(handler) as url:
        talk = talk_to(url, told, wait=None)

        def twice(entry: Entry) -> None:
            if entry.type == "open":
                loop = asyncio.get_running_loop()
                loop.call_soon(talk.stop)
                loop.call_soon(loop.call_soon, talk.stop)

        told.on_entry = twice
        assert await talk.run(DIALER, typed_for_ever()) is Exit.MEANT
        release.set()


async def test_what_cannot_be_read_ends_a_script() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "one"
        raise ValueError("the input is not UTF-8")

    told = Told()
    async with server(echo) as url:
        assert await talk_to(url, told).run(DIALER, broken()) is Exit.USAGE
    assert told.complaints == ["cannot read the input: the input is not UTF-8"]


@pytest.mark.parametrize("is_strict", [True, False])
async def test_a_line_that_cannot_be_said_ends_a_script_and_not_a_person(is_strict: bool) -> None:
    told = Told()
    async with server(echo) as url:
        talk = talk_to(url, told, RawConversation(is_json=True), is_strict=is_strict, wait=0.05)
        code = await talk.run(DIALER, lines("nonsense", '{"data": "hi"}'))
    if is_strict:
        assert (code, told.heard()) == (Exit.USAGE, [])
        assert "right: " in told.complaints[0]
    else:
        assert (code, told.complaints) == (Exit.MEANT, [])
        assert told.entries[1].type == "error"


async def test_lines_wait_while_the_server_does_not_read() -> None:
    release = asyncio.Event()
    sizes: list[int] = []
    said = 0

    async def handler(connection: ServerConnection) -> None:
        await release.wait()
        sizes.extend([len(message) async for message in connection])

    async def many() -> AsyncIterator[str]:
        nonlocal said
        for _ in range(64):
            said += 1
            yield "x" * 1024 * 1024

    async with serve(handler, "127.0.0.1", 0, max_size=None, compression=None) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        ahead: list[int] = []

        def go_on() -> None:
            ahead.append(said)
            release.set()

        asyncio.get_running_loop().call_later(0.2, go_on)
        assert await talk_to(f"ws://{host}:{port}/", Told()).run(DIALER, many()) is Exit.MEANT
    assert ahead[0] < 64
    assert len(sizes) == 64


# --- control frames -------------------------------------------------------------------------------


async def test_slash_commands_are_control_frames() -> None:
    told = Told()
    closes: list[tuple[int | None, str | None]] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        closes.append((connection.close_code, connection.close_reason))

    async with server(handler) as url:
        talk = talk_to(url, told, wait=None, has_slash=True, shows_pings=True)

        answered = asyncio.Event()
        told.on_entry = lambda entry: (
            answered.set() if (entry.direction, entry.type) == ("in", "pong") else None
        )

        async def typed() -> AsyncIterator[str]:
            yield "/ping now"
            await answered.wait()
            yield "/pong unasked"
            yield "/close 4001 that is all"

        assert await talk.run(DIALER, typed()) is Exit.MEANT
    assert told.heard("pong") == [{"data": "now"}]
    assert [(one.type, one.data) for one in told.entries if one.direction == "out"] == [
        ("ping", {"data": "now"}),
        ("pong", {"data": "unasked"}),
    ]
    assert closes == [(4001, "that is all")]
    assert told.complaints == []


async def test_without_slash_a_slash_is_text() -> None:
    told = Told()
    async with server(echo) as url:
        assert await talk_to(url, told, wait=0.05).run(DIALER, lines("/ping")) is Exit.MEANT
    assert told.heard() == ["/ping"]


@pytest.mark.parametrize(("is_strict", "code"), [(True, Exit.USAGE), (False, Exit.MEANT)])
async def test_an_unknown_command_ends_a_script_and_not_a_person(
    is_strict: bool, code: Exit
) -> None:
    told = Told()
    async with server(echo) as url:
        talk = talk_to(url, told, has_slash=True, is_strict=is_strict)
        assert await talk.run(DIALER, lines("/nope")) is code
    why = "there is no command /nope; known: /ping, /pong, /close"
    assert told.complaints == ([why] if is_strict else [])
    assert [one.data for one in told.entries if one.type == "error"] == ([] if is_strict else [why])


@pytest.mark.parametrize("shows_pings", [True, False])
async def test_a_ping_of_the_server_is_told_only_where_that_was_asked_for(
    shows_pings: bool,
) -> None:
    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping(b"there?"))

    told = Told()
    async with server(handler) as url:
        talk = talk_to(url, told, wait=None, shows_pings=shows_pings)
        assert await talk.run(DIALER, typed_for_ever()) is Exit.MEANT
    assert told.heard("ping") == ([{"data": "there?"}] if shows_pings else [])


async def test_pings_are_counted_and_timed() -> None:
    told = Told()
    async with server(echo) as url:
        talk = talk_to(url, told, wait=None, ping=0.005, shows_pings=True)
        told.on_entry = lambda entry: (
            talk.stop() if entry.type == "pong" and len(told.heard("pong")) == 3 else None
        )
        assert await talk.run(DIALER, lines()) is Exit.MEANT
    summary = told.entries[-1]
    assert (summary.direction, summary.type) == ("here", "pings")
    assert isinstance(summary.data, dict)
    assert summary.data["sent"] >= summary.data["answered"] >= 3
    assert 0 < summary.data["min"] <= summary.data["avg"] <= summary.data["max"] < 5


async def test_pings_that_nobody_answers_are_lost() -> None:
    told = Told()
    pinged = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await pinged.wait()

    async with server(handler) as url:
        talk = talk_to(url, told, wait=None, ping=60.0)

        def once(entry: Entry) -> None:
            if entry.type == "open":
                asyncio.get_running_loop().call_later(0.02, pinged.set)

        told.on_entry = once
        await talk.run(DIALER, typed_for_ever())
    assert told.entries[-1].data == {"sent": 1, "answered": 0, "loss": 1.0}


# --- our own wire ---------------------------------------------------------------------------------


def chat_app() -> Anywire:
    app = Anywire()
    chat = app.channel("chat:{room}")

    @app.authenticate
    async def who(hello: Hello) -> User:
        if hello.token == "wrong":
            raise Refused("bad_token", "wrong token")
        return User("ana")

    @chat.join
    async def join(room: str) -> None:
        if room == "staff":
            raise Refused("staff_only", "for staff")
        if room == "slow":
            await asyncio.Event().wait()

    @chat.on("say")
    async def say(text: str) -> str:
        return text.upper()

    return app


def own(*addresses: str) -> WireConversation:
    return WireConversation(OwnClient(), addresses)


async def test_events_are_said_once_every_join_is_answered() -> None:
    told = Told()
    async with served(chat_app()) as url:
        talk = talk_to(f"{url}/ws", told, own("chat:a", "chat:b"), wait=None)
        told.on_entry = lambda entry: talk.stop() if entry.type == "reply" else None
        assert await talk.run(DIALER, lines("say hi")) is Exit.MEANT
    kinds = [entry.type for entry in told.entries if entry.direction != "here"]
    assert kinds == ["joined", "joined", "event", "reply"]
    assert told.heard("reply") == ["HI"]


@pytest.mark.parametrize(("is_strict", "code"), [(True, Exit.REFUSED), (False, Exit.MEANT)])
async def test_a_refused_message_counts_in_a_script(is_strict: bool, code: Exit) -> None:
    told = Told()
    async with served(chat_app()) as url:
        talk = talk_to(f"{url}/ws", told, own("chat:a"), wait=None, is_strict=is_strict)
        told.on_entry = lambda entry: talk.stop() if entry.type == "error" else None
        assert await talk.run(DIALER, lines("nope")) is code


async def test_a_refused_join_ends_it_as_refused() -> None:
    told = Told()
    async with served(chat_app()) as url:
        talk = talk_to(f"{url}/ws", told, own("chat:staff"), wait=None)
        assert await talk.run(DIALER, lines("say hi")) is Exit.REFUSED
    assert [entry.data for entry in told.entries if entry.type == "error"] == [
        "join chat:staff: staff_only: for staff"
    ]


async def test_a_refused_session_ends_it_as_refused() -> None:
    told = Told()
    async with served(chat_app()) as url:
        talk = talk_to(f"{url}/ws?token=wrong", told, own("chat:a"), wait=None)
        assert await talk.run(DIALER, lines("say hi")) is Exit.REFUSED
    assert told.heard("refused") == [{"code": "bad_token", "text": "wrong token"}]
    assert told.complaints == ["the server closed with code 4401 (wrong token)"]


async def test_a_join_that_is_never_answered_is_a_time_out() -> None:
    told = Told()
    async with served(chat_app()) as url:
        talk = talk_to(f"{url}/ws", told, own("chat:slow"), wait=None, timeout=0.1)
        assert await talk.run(DIALER, lines("say hi")) is Exit.CUT
    assert told.complaints == ["no answer within 0.1 s (--timeout)"]
    assert "out" not in [entry.direction for entry in told.entries]


@pytest.mark.parametrize("message", ["{", '{"type":"reply","ref":1,"data":1,"args":[]}', b"\x00"])
async def test_a_server_that_breaks_the_protocol_is_left(message: str | bytes) -> None:
    codes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.send(message)
        await connection.wait_closed()
        codes.append(connection.close_code)

    told = Told()
    async with serve(
        handler,
        "127.0.0.1",
        0,
        subprotocols=["anywire.json.1"],  # type: ignore[list-item]
    ) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        talk = talk_to(f"ws://{host}:{port}/", told, own("chat:a"), wait=None)
        assert await talk.run(DIALER, lines()) is Exit.CUT
    assert told.complaints[0].startswith("the server broke the protocol: ")
    assert codes in ([4400], [1003])


async def test_a_server_that_is_not_ours_is_told_apart() -> None:
    told = Told()
    async with server(echo) as url:
        assert await talk_to(url, told, own("chat:a"), wait=None).run(DIALER, lines()) is Exit.CUT
    assert told.complaints == ["the server speaks plain, not anywire.json.1"]


async def test_a_silent_server_is_given_up() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(
            '{"type":"welcome","session":"s","beat":0.03,"resumed":false,"received":0}'
        )
        await connection.wait_closed()

    told = Told()
    async with serve(
        handler,
        "127.0.0.1",
        0,
        subprotocols=["anywire.json.1"],  # type: ignore[list-item]
    ) as running:
        host, port = next(iter(running.sockets)).getsockname()[:2]
        talk = talk_to(
            f"ws://{host}:{port}/",
            told,
            WireConversation(OwnClient(beat_timeout=0.03), ()),
            wait=None,
        )
        assert await talk.run(DIALER, lines()) is Exit.CUT
    assert told.complaints == ["nothing heard in time"]
