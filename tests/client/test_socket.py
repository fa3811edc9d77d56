"""The socket: against servers of `websockets` and of ours, and with time and network in hand."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, unix_serve

from anywire import Anywire, Member, Raw
from anywire.client import open_socket
from anywire.errors import Closed, Refused
from anywire.net.handshake import BadUrl, HandshakeError
from tests.client.memory import FakeClock, ScriptDialer, settle
from tests.client.test_proxy import HttpProxy, listening
from tests.client.test_websocket import MESSAGES, bytes_server, echo, oracle, serving

net = pytest.mark.net
QUEUE = json.loads(
    (Path(__file__).parents[1] / "vectors" / "client" / "queue.json").read_text(encoding="utf-8")
)


class Desk:
    """A socket whose time and whose server the test plays."""

    def __init__(self, *failures: Exception, **options: Any) -> None:
        self.clock = FakeClock()
        self.dialer = ScriptDialer(*failures)
        self.socket = open_socket(
            "ws://server/ws?token=secret",
            dialer=self.dialer,
            clock=self.clock,
            random=lambda: 0.5,
            **options,
        )
        self.told: list[tuple[str, Any]] = []
        for name in ("state", "error", "overflow"):
            self.socket.on(name, lambda value, *_, name=name: self.told.append((name, value)))

    async def open(self) -> "Desk":
        await self.socket.open()
        return self

    def of(self, name: str) -> list[Any]:
        """What was told under this name."""
        return [value for told, value in self.told if told == name]

    @property
    def sent(self) -> list[Any]:
        return [message for link in self.dialer.links for message in link.sent]


# --- on the network ------------------------------------------------------------------------------


@net
@pytest.mark.parametrize("compress", [True, False])
async def test_every_kind_of_message_goes_there_and_back(compress: bool) -> None:
    async with oracle(echo) as url, open_socket(url, compress=compress) as socket:
        for message in [*MESSAGES, bytearray(b"ab"), memoryview(b"cd")]:
            assert await socket.send(message)
        heard = [await socket.receive(timeout=5) for _ in range(len(MESSAGES) + 2)]
        assert heard == [*MESSAGES, b"ab", b"cd"]
        assert ("permessage-deflate" in socket.extensions) == compress


@net
async def test_a_socket_says_what_was_agreed_and_how_far_the_server_is() -> None:
    asked: dict[str, Any] = {}

    async def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked["all"] = connection.request.headers.get_all("X-Two")
        asked["origin"] = connection.request.headers["Origin"]
        await echo(connection)

    async with oracle(look, subprotocols=["chat"], server_header="probe") as url:
        options: dict[str, Any] = {
            "headers": [("X-Two", "1"), ("X-Two", "2")],
            "origin": "http://a",
        }
        async with open_socket(url + "x", subprotocols=["no", "chat"], **options) as socket:
            assert socket.subprotocol == "chat"
            assert socket.headers["server"] == "probe"
            assert socket.url == url + "x"
            assert 0 < await socket.ping(timeout=5) < 5
            assert max(await asyncio.gather(*(socket.ping() for _ in "abc"))) < 5
            assert asked == {"all": ["1", "2"], "origin": "http://a"}
            assert (socket.close_code, socket.close_reason, socket.was_clean) == (None, "", False)
            await socket.close(4001, "enough")
        assert (socket.close_code, socket.close_reason) == (4001, "enough")
        assert socket.was_clean
        assert socket.state == "closed"
        await socket.close()


@net
async def test_a_loop_over_messages_ends_with_the_servers_goodbye() -> None:
    async def count(connection: ServerConnection) -> None:
        for number in range(3):
            await connection.send(str(number))

    async with oracle(count) as url, open_socket(url, reconnect=False) as socket:
        assert [message async for message in socket] == ["0", "1", "2"]
        assert (socket.close_code, socket.was_clean) == (1000, True)
        with pytest.raises(Closed, match="1000"):
            await socket.receive()
        with pytest.raises(Closed, match="1000"):
            await socket.send("too late")
        with pytest.raises(Closed, match="1000"):
            await socket.ping()
        with pytest.raises(Closed, match="1000"):
            await socket.open()


@net
async def test_an_end_that_is_no_goodbye_is_an_error_once_all_is_read() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send("last words")
        await connection.close(4000, "thrown out")

    async with oracle(leave) as url, open_socket(url, reconnect=False) as socket:
        heard = []
        with pytest.raises(Closed, match="4000"):
            async for message in socket:
                heard.append(message)  # noqa: PERF401
        assert heard == ["last words"]
        assert (socket.close_code, socket.close_reason) == (4000, "thrown out")


@net
async def test_a_slow_reader_loses_nothing_and_lets_the_server_wait() -> None:
    sent = 0

    async def pour(connection: ServerConnection) -> None:
        nonlocal sent
        for number in range(300):
            await connection.send(f"{number} " + "x" * 50_000)
            sent += 1

    options: dict[str, Any] = {"reconnect": False, "compress": False, "max_unread": 4}
    async with oracle(pour, compression=None) as url, open_socket(url, **options) as socket:
        first = await socket.receive(timeout=5)
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent < 300
        heard = [first, *[message async for message in socket]]
        assert [message.split()[0] for message in heard] == [*map(str, range(300))]


@net
async def test_a_timeout_loses_no_message() -> None:
    async with oracle(echo) as url, open_socket(url) as socket:
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.01)
        await socket.send("still here")
        assert await socket.receive(timeout=5) == "still here"


@net
async def test_tls_goes_through_a_proxy() -> None:
    authority = trustme.CA()
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(inside)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    proxy = HttpProxy("ana:secret")
    async with oracle(echo, ssl=inside) as url, listening(proxy) as port:
        secure = url.replace("ws://127.0.0.1", "wss://localhost")
        through = f"http://ana:secret@127.0.0.1:{port}"
        async with open_socket(secure, ssl=trusting, proxy=through) as socket:
            await socket.send("hidden")
            assert await socket.receive(timeout=5) == "hidden"
        assert "localhost" in proxy.heads[0]


@net
async def test_a_restarted_server_is_found_again_and_gets_what_waits(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    states: asyncio.Queue[str] = asyncio.Queue()
    socket = open_socket("ws://server/", unix=path, reconnect_interval=0.01)
    socket.on("state", lambda state, previous: states.put_nowait(state))
    async with unix_serve(echo, path):
        await socket.open()
        await socket.send("before")
        assert await socket.receive(timeout=5) == "before"
    async with asyncio.timeout(5):
        while await states.get() != "waiting":
            pass
    assert (socket.close_code, socket.was_clean) == (1001, True)
    assert await socket.send("meanwhile")
    async with unix_serve(echo, path):
        assert await socket.receive(timeout=5) == "meanwhile"
        assert socket.state == "open"
        await socket.close()


@net
async def test_our_own_server_echoes() -> None:
    app = Anywire(wires=[Raw("/raw/{address}", heartbeat=True)])
    channel = app.channel("echo")

    @channel.message
    async def heard(member: Member, data: str | bytes) -> None:
        await member.send("message", data)

    async with serving(app, port=0) as (server, _):
        url = f"ws://127.0.0.1:{server.addresses[0].port}/raw/echo"
        async with open_socket(url, json=True) as socket:
            await socket.send({"type": "ping"})  # the answer to this is not for us
            await socket.send({"a": [1, None]})
            await socket.send(b"\x00")
            assert await socket.receive(timeout=5) == {"a": [1, None]}
            assert await socket.receive(timeout=5) == b"\x00"
            assert await socket.ping(timeout=5) > 0


@net
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", HandshakeError, "404"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Refused, "403"),
        (b"", ConnectionError, "hung up"),
    ],
)
async def test_without_reconnect_the_first_error_is_raised_as_it_is(
    answer: bytes, error: type[Exception], words: str
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with bytes_server(reply) as url:
        socket = open_socket(url, reconnect=False)
        with pytest.raises(error, match=words):
            await socket.open()
        assert socket.state == "closed"


# --- attempts and ends, with time in hand --------------------------------------------------------


async def test_attempts_wait_longer_and_longer_until_one_lasted() -> None:
    desk = Desk(*[OSError("down")] * 3)
    opening = asyncio.create_task(desk.socket.open())
    for delay in (0.5, 0.75, 1.125):
        await settle()
        assert desk.clock.waiting == [delay]
        await desk.clock.pass_(delay)
    await opening
    assert [str(error) for error in desk.of("error")] == ["down"] * 3
    await desk.clock.pass_(4.9)
    desk.dialer.link.cut()
    assert desk.clock.waiting == [1.6875]
    await desk.clock.pass_(1.6875)
    await desk.clock.pass_(5)
    desk.dialer.link.cut()
    assert desk.clock.waiting == [0.5]
    assert (desk.socket.close_code, desk.socket.was_clean) == (1006, False)
    await desk.socket.close()
    assert desk.clock.waiting == []


async def test_an_attempt_takes_no_longer_than_it_may() -> None:
    desk = Desk(first_timeout=15)
    desk.dialer.is_stuck = True
    opening = asyncio.create_task(desk.socket.open())
    await desk.clock.pass_(10)
    assert desk.socket.state == "waiting"
    await desk.clock.pass_(5)
    with pytest.raises(Closed, match=r"no connection to ws://server/ws within 15 s"):
        await opening
    assert desk.socket.state == "closed"


async def test_a_cancelled_opening_closes() -> None:
    desk = Desk()
    desk.dialer.is_stuck = True
    opening = asyncio.create_task(desk.socket.open())
    await settle()
    opening.cancel()
    await asyncio.wait([opening])
    assert desk.socket.state == "closed"


@pytest.mark.parametrize(
    ("code", "error"), [(4401, Refused), (4403, Refused), (4409, Closed)], ids=str
)
async def test_after_a_final_code_there_is_no_coming_back(
    code: int, error: type[Exception]
) -> None:
    desk = await Desk().open()
    desk.dialer.link.cut(code, "no more", True)
    assert desk.socket.state == "closed"
    assert desk.clock.waiting == []
    with pytest.raises(error, match="no more"):
        await anext(desk.socket)
    with pytest.raises(error):
        await desk.socket.receive()
    assert desk.socket.close_code == code
    assert "secret" not in repr(desk.socket)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1006, 1011, 1012, 4408])
async def test_after_any_other_code_it_comes_back(code: int) -> None:
    desk = await Desk().open()
    desk.dialer.link.cut(code, "", True)
    await desk.clock.pass_(1)
    assert desk.socket.state == "open"
    assert desk.of("state") == ["connecting", "open", "waiting", "connecting", "open"]
    await desk.socket.close()


async def test_a_close_is_final_in_every_state() -> None:
    idle = Desk()
    await idle.socket.close()
    waiting = Desk(OSError("down"))
    waiting.socket.start()
    await settle()
    assert waiting.socket.state == "waiting"
    assert await waiting.socket.send("never sent")
    assert waiting.socket.waiting == 1
    await waiting.socket.close(4000, "over")
    connecting = Desk()
    connecting.dialer.is_stuck = True
    connecting.socket.start()
    await settle()
    await connecting.socket.close()
    for desk in (idle, waiting, connecting):
        assert desk.socket.state == "closed"
        assert desk.clock.waiting == []
        assert [message async for message in desk.socket] == []
        with pytest.raises(Closed):
            await desk.socket.send("too late")
    assert str(waiting.socket.ended) == "closed with code 4000 (over)"


@pytest.mark.parametrize(
    ("code", "reason"), [(1001, ""), (1006, ""), (2999, ""), (5000, ""), (1000, "é" * 62)]
)
async def test_a_close_that_may_not_be_said_is_an_error_and_changes_nothing(
    code: int, reason: str
) -> None:
    desk = await Desk().open()
    with pytest.raises(ValueError, match="close"):
        await desk.socket.close(code, reason)
    assert desk.socket.state == "open"
    await desk.socket.close()


async def test_what_came_before_our_close_is_still_there_to_be_read() -> None:
    desk = await Desk().open()
    desk.dialer.link.deliver("read me")
    await desk.socket.close()
    assert [message async for message in desk.socket] == ["read me"]


async def test_a_connection_can_be_given_up_by_hand() -> None:
    desk = await Desk().open()
    first = desk.dialer.link
    desk.socket.reconnect()
    desk.socket.reconnect()
    assert desk.socket.state == "waiting"
    first.deliver("from the past")
    await desk.clock.pass_(1)
    assert desk.socket.state == "open"
    assert desk.dialer.link is not first
    desk.dialer.link.deliver("now")
    assert await desk.socket.receive() == "now"
    desk.socket.off("state")
    await desk.socket.close()


async def test_a_bug_in_an_attempt_is_raised_without_reconnect() -> None:
    desk = Desk(KeyError("a bug"), reconnect=False)
    with pytest.raises(KeyError):
        await desk.socket.open()


async def test_a_listener_that_gives_up_the_new_connection_is_obeyed() -> None:
    desk = Desk()

    @desk.socket.on("state")
    def changed(state: str, previous: str) -> None:
        if state == "open":
            desk.socket.reconnect()

    desk.socket.start()
    await settle()
    assert desk.socket.state == "waiting"
    await desk.socket.close()


# --- heartbeat and pings -------------------------------------------------------------------------


async def test_a_server_that_is_silent_is_asked_and_then_given_up() -> None:
    desk = await Desk().open()
    link = desk.dialer.link
    await desk.clock.pass_(30)
    assert link.pings == [b""]
    link.ponged(b"")
    await desk.clock.pass_(29)
    link.deliver("a message is a sign of life")
    await desk.clock.pass_(29)
    assert link.pings == [b""]
    await desk.clock.pass_(6)
    assert desk.socket.state in ("waiting", "open")
    assert desk.socket.close_code == 4410
    assert not desk.socket.was_clean
    assert link.closed_with is not None
    assert link.closed_with[0] == 4410
    await desk.socket.close()


async def test_a_json_heartbeat_swallows_its_answers() -> None:
    desk = await Desk(heartbeat="json").open()
    await desk.clock.pass_(30)
    assert desk.sent == ['{"type":"ping"}']
    link = desk.dialer.link
    for message in ('{"type":"pong"}', "[1]", "no json", b'{"type":"pong"}'):
        link.deliver(message)
    assert [await desk.socket.receive() for _ in range(3)] == ["[1]", "no json", b'{"type":"pong"}']
    await desk.socket.close()


async def test_who_wants_no_heartbeat_has_none() -> None:
    for options in ({"heartbeat": None}, {"heartbeat_interval": 0}):
        desk = await Desk(**options).open()
        assert desk.clock.waiting == []
        await desk.socket.close()


async def test_a_ping_ends_with_its_connection_or_its_time() -> None:
    desk = await Desk().open()
    ping = asyncio.create_task(desk.socket.ping())
    await settle()
    desk.dialer.link.cut()
    with pytest.raises(Closed, match="lost"):
        await ping
    with pytest.raises(Closed, match="no connection to ping"):
        await desk.socket.ping()
    await desk.clock.pass_(1)
    with pytest.raises(TimeoutError):
        await desk.socket.ping(timeout=0)
    desk.dialer.link.ponged(desk.dialer.link.pings[-1])
    await desk.socket.close()


# --- what waits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", QUEUE["cases"], ids=lambda case: str(case["name"]))
async def test_a_socket_queues_as_the_vectors_say(case: dict[str, Any]) -> None:
    desk = Desk(max_queue=case["maxQueue"], max_queue_bytes=case["maxQueueBytes"])
    desk.dialer.is_stuck = True
    desk.socket.start()
    await settle()
    for step in case["steps"]:
        match step["do"]:
            case "send":
                before = len(desk.sent)
                try:
                    taken = await desk.socket.send(step["message"])
                    is_sent = len(desk.sent) > before
                    result = "overflow" if not taken else "sent" if is_sent else "queued"
                except Closed:
                    result = "closed"
                assert result == step["result"]
            case "open":
                desk.dialer.is_stuck = False
                before = len(desk.sent)
                await desk.clock.pass_(60)
                assert desk.sent[before:] == step["sent"]
            case "cut":
                desk.dialer.is_stuck = True
                if desk.socket.state == "open":
                    desk.dialer.link.cut()
                await settle()
            case "close":
                assert desk.socket.waiting == step["dropped"]
                await desk.socket.close()
    await desk.socket.close()


async def test_a_full_queue_can_give_up_its_oldest() -> None:
    desk = Desk(max_queue=2, max_queue_bytes=10, when_full="drop_oldest")
    for message in ("a", "b", "c", b"12345678"):
        assert await desk.socket.send(message)
    assert not await desk.socket.send("more than there is room")
    assert desk.of("overflow") == ["a", "b", "more than there is room"]
    await desk.open()
    assert desk.sent == ["c", b"12345678"]
    await desk.socket.close()


async def test_a_queue_of_nothing_gives_up_nothing() -> None:
    desk = Desk(max_queue=0, when_full="drop_oldest")
    assert not await desk.socket.send("a")
    assert desk.of("overflow") == ["a"]


async def test_a_full_queue_can_make_senders_wait() -> None:
    desk = Desk(max_queue=1, when_full="wait")
    assert await desk.socket.send("a")
    sending = asyncio.create_task(desk.socket.send("b"))
    await settle()
    assert not sending.done()
    await desk.open()
    assert await sending
    assert desk.sent == ["a", "b"]
    await desk.socket.close()


async def test_senders_wait_while_the_network_is_slow_and_are_heard_later_if_it_breaks() -> None:
    desk = await Desk().open()
    desk.dialer.link.is_blocked = True
    sending = [asyncio.create_task(desk.socket.send(text)) for text in ("a", "b")]
    await settle()
    assert desk.sent == []
    desk.dialer.link.writable()
    await settle()
    assert desk.sent == ["a", "b"]
    desk.dialer.link.is_blocked = True
    sending += [asyncio.create_task(desk.socket.send(text)) for text in ("c", "d")]
    await settle()
    sending[-1].cancel()
    desk.dialer.link.cut()
    await settle()
    assert desk.socket.waiting == 1
    await desk.clock.pass_(1)
    assert desk.sent == ["a", "b", "c"]
    assert [await task for task in sending[:3]] == [True] * 3
    desk.dialer.link.is_blocked = True
    last = asyncio.create_task(desk.socket.send("e"))
    await settle()
    await desk.socket.close()
    with pytest.raises(Closed):
        await last


async def test_a_full_inbox_stops_reading_and_silence_then_means_nothing() -> None:
    desk = await Desk(max_unread=2).open()
    link = desk.dialer.link
    for text in "abcd":
        link.deliver(text)
    assert link.is_paused
    await desk.clock.pass_(100)
    assert desk.socket.state == "open"
    assert [await desk.socket.receive() for _ in range(4)] == ["a", "b", "c", "d"]
    assert not link.is_paused
    assert link.pings == []
    for text in "efg":
        link.deliver(text)
    desk.socket.reconnect()
    await desk.clock.pass_(1)
    assert desk.dialer.link.is_paused
    assert [await desk.socket.receive() for _ in range(2)] == ["e", "f"]
    assert not desk.dialer.link.is_paused
    await desk.socket.close()


async def test_what_is_no_message_is_an_error() -> None:
    desk = await Desk().open()
    wrong: list[Any] = [None, 7, {"a": 1}]
    for thing in wrong:
        with pytest.raises(TypeError, match="json=True"):
            await desk.socket.send(thing)
    await desk.socket.close()
    with_json = await Desk(json=True).open()
    things: list[Any] = [None, 7, {"a": "é"}, "as it is", b"\x00"]
    for thing in things:
        await with_json.socket.send(thing)
    with pytest.raises(TypeError):
        await with_json.socket.send(object())
    assert with_json.sent == ["null", "7", '{"a":"é"}', "as it is", b"\x00"]
    await with_json.socket.close()


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ssl": ssl.create_default_context()}, "wss://"),
        ({"subprotocols": "chat"}, "a list of names"),
        ({"heartbeat": "pong"}, "heartbeat must be"),
        ({"when_full": "explode"}, "when_full must be"),
        ({"max_unread": 0}, "max_unread"),
        ({"proxy": "ftp://proxy"}, "a proxy is"),
        ({"reconnect_decay": 0.5}, "reconnect_decay"),
        ({"origin": "a", "headers": {"ORIGIN": "b"}}, "give one of the two"),
    ],
)
def test_an_option_that_cannot_be_is_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_socket("ws://server/", **options)


def test_a_socket_needs_no_running_loop_to_be_made() -> None:
    with pytest.raises(BadUrl):
        open_socket("gopher://server/")
    socket = open_socket("wss://ana:pass@server/ws?token=secret", max_redirects=1)
    assert repr(socket) == "Socket('wss://server/ws', idle)"
    assert (socket.url, socket.subprotocol, socket.extensions) == ("wss://server/ws", None, "")
    assert socket.headers == {}
    assert socket.waiting == 0
    with pytest.raises(ValueError, match="known: state"):
        socket.on("message", print)


async def test_nothing_is_left_behind() -> None:
    desk = await Desk().open()
    await desk.socket.close()
    await settle()
    assert desk.clock.waiting == []
    assert len(asyncio.all_tasks()) == 1
