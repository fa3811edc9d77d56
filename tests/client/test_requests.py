"""The own wire over HTTP requests: against our own server, and through a network that cuts."""

import asyncio
import json
import ssl
from typing import Any, Literal

import pytest
import trustme

from anywire import Anywire, Hello, Limits, Member, User
from anywire.client import Client, HttpDialer, connect
from anywire.client.http import Asking, Way
from anywire.errors import Closed, Refused
from anywire.net.handshake import parse_url
from anywire.wires.anywire import PlainClient
from anywire.wires.base import Request
from tests.client.scripted import EVENTS, OPEN, said, scripted
from tests.client.served import Saboteur, no_tasks, port_of, running, shop, until
from tests.client.test_http import serving

pytestmark = pytest.mark.net

Name = Literal["events", "stream", "poll"]
OVER = pytest.mark.parametrize("carrier", ["events", "stream", "poll"])
WAYS = pytest.mark.parametrize(
    ("carrier", "format"),
    [
        ("events", "json"),
        ("stream", "json"),
        ("stream", "msgpack"),
        ("poll", "json"),
        ("poll", "msgpack"),
    ],
)


def over(carrier: Name, url: str, dialer: HttpDialer | None = None, **options: Any) -> Client:
    return connect(url, dialer=dialer or HttpDialer(carrier), random=lambda: 0.0, **options)


# --- our own server -------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("fresh", [False, True])
async def test_calls_publications_and_streams_go_over_requests(
    carrier: Name, format: Any, fresh: bool
) -> None:
    async with running(shop()) as url:
        dialer = HttpDialer(carrier, fresh=fresh)
        async with over(carrier, url, dialer, format=format) as client:
            chat = client.channel("chat")
            heard: list[object] = []
            chat.on("said", heard.append)

            @chat.answer("confirm")
            def confirm(number: int) -> int:
                return number * 2

            await chat.join()
            assert [await chat.call("say", n) for n in range(10)] == list(range(10))
            answers = await asyncio.gather(*(chat.call("say", n) for n in range(10, 40)))
            assert answers == list(range(10, 40))
            assert heard == list(range(40))
            assert await chat.call("ask-me") == [0, 2, 4]
            assert [n async for n in chat.stream("count", 100)] == list(range(100))
            assert client.state == "open"
        await no_tasks()


@pytest.mark.parametrize("carrier", ["stream", "poll"])
async def test_bytes_stay_bytes_in_messagepack(carrier: Name) -> None:
    async with running(shop()) as url, over(carrier, url, format="msgpack") as client:
        chat = client.channel("chat")
        await chat.join()
        assert await chat.call("say", b"\x00\x1e\xff" * 100) == b"\x00\x1e\xff" * 100


@OVER
async def test_the_url_may_be_one_of_a_websocket_and_have_a_query(carrier: Name) -> None:
    seen: list[Hello] = []

    async def authenticate(hello: Hello) -> User:
        seen.append(hello)
        return User("ana")

    app = shop()
    app.authenticate(authenticate)
    async with running(app) as url:
        url = url.replace("http", "ws") + "/?name=ana"
        dialer = HttpDialer(carrier, headers={"Cookie": "a=1", "X-Ours": "dialer"})
        async with over(carrier, url, dialer, headers={"x-ours": "client"}, token="secret"):
            pass
    (hello,) = seen
    assert (hello.path, hello.query["name"], hello.token) == (f"/ws/{carrier}", "ana", "secret")
    assert (hello.cookies["a"], hello.headers["x-ours"]) == ("1", "client")


@OVER
async def test_the_client_says_goodbye_and_the_session_ends_at_once(carrier: Name) -> None:
    app = shop()
    async with running(app) as url:
        async with over(carrier, url) as client:
            chat = client.channel("chat")
            await chat.join()
            await chat.send("say", "last")
            assert len(app.node.sessions) == 1
        assert not app.node.sessions
        await no_tasks()


@WAYS
async def test_a_client_thrown_out_hears_the_servers_code(carrier: Name, format: Any) -> None:
    async with running(shop()) as url, over(carrier, url, format=format) as client:
        chat = client.channel("chat")
        await chat.join()
        with pytest.raises(Closed) as caught:
            await chat.call("out")
        assert (caught.value.code, caught.value.reason) == (4003, "thrown out é")
        assert client.state == "closed"


@OVER
async def test_a_client_that_is_refused_hears_why_and_stays_away(carrier: Name) -> None:
    async def authenticate(hello: Hello) -> User:
        raise Refused("name_missing", "say ?name=")

    app = shop()
    app.authenticate(authenticate)
    async with running(app) as url:
        client = over(carrier, url)
        with pytest.raises(Refused) as caught:
            await client.open()
        assert (caught.value.code, caught.value.text) == ("name_missing", "say ?name=")
        assert client.state == "closed"
        await no_tasks()


@OVER
async def test_a_client_detached_by_silence_resumes_and_goes_on(carrier: Name) -> None:
    app = shop(limits=Limits(poll=0.02, poll_gap=5.0))
    async with running(app) as url, over(carrier, url) as client:
        chat = client.channel("chat")
        states: list[str] = []
        await chat.join()
        client.on("state", lambda state, previous: states.append(state))
        (session,) = app.node.sessions.values()
        assert session.transport is not None
        session.transport.abort()
        assert await chat.call("say", 1) == 1
        assert (states, list(app.node.sessions.values())) == (
            ["waiting", "resuming", "open"],
            [session],
        )


async def test_empty_polls_keep_an_idle_client_connected() -> None:
    app = shop(limits=Limits(poll=0.01, beat=0))
    async with running(app) as url, over("poll", url) as client:
        chat = client.channel("chat")
        await chat.join()
        requests = app.node.counters.requests
        await until(lambda: app.node.counters.requests > requests + 4)
        assert client.state == "open"
        assert await chat.call("say", 1) == 1


@OVER
async def test_the_beat_of_the_server_is_answered(carrier: Name) -> None:
    app = shop(limits=Limits(beat=0.02, beat_timeout=0.5))
    async with running(app) as url, over(carrier, url) as client:
        chat = client.channel("chat")
        await chat.join()
        requests = app.node.counters.requests
        await until(lambda: app.node.counters.requests > requests + 1)
        assert client.state == "open"


@OVER
async def test_large_messages_go_one_by_one_and_small_ones_together(carrier: Name) -> None:
    app = shop()
    async with running(app) as url:
        async with over(carrier, url, HttpDialer(carrier, max_body=1000)) as client:
            chat = client.channel("chat")
            await chat.join()
            texts = ["x" * 5000, "a", "b", "y" * 900, "z" * 900]
            assert await asyncio.gather(*(chat.call("say", text) for text in texts)) == texts
            requests = app.node.counters.requests
            await asyncio.gather(*(chat.send("say", "") for _ in range(100)))
            assert await chat.call("say", 1) == 1
            assert app.node.counters.requests - requests < 60


async def test_over_tls_the_servers_name_is_verified() -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server.test").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    async with running(shop(), ssl=theirs) as url:
        dialer = HttpDialer("stream", ssl=ours, server_hostname="server.test")
        async with over("stream", url, dialer) as client:
            chat = client.channel("chat")
            await chat.join()
            assert await chat.call("say", 1) == 1
        with pytest.raises(ssl.SSLError):
            await HttpDialer("poll", ssl=ours).dial(url, Request(subprotocols=["anywire.json.1"]))


# --- a network that cuts --------------------------------------------------------------------------


def numbers(taken: list[int]) -> Anywire:
    """An app that takes numbers and says each again."""
    app = shop()
    channel = app.channel("numbers")

    @channel.on("number")
    async def number(member: Member, n: int) -> None:
        taken.append(n)
        await member.send("number", n)

    return app


@WAYS
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_cut_anywhere_nothing_is_lost_and_nothing_comes_twice(
    seed: int, fresh: bool, carrier: Name, format: Any
) -> None:
    taken: list[int] = []
    async with running(numbers(taken)) as url:
        saboteur = Saboteur(port_of(url), seed)
        async with serving(saboteur.serve) as port:
            dialer = HttpDialer(carrier, fresh=fresh)
            through = f"http://127.0.0.1:{port}/ws"
            async with over(carrier, through, dialer, format=format) as client:
                channel = client.channel("numbers")
                heard: list[int] = []
                channel.on("number", heard.append)
                await channel.join()
                saboteur.is_calm = False
                for wave in range(0, 90, 15):
                    for n in range(wave, wave + 12):
                        await channel.send("number", n)
                    calls = (channel.call("number", n) for n in range(wave + 12, wave + 15))
                    assert await asyncio.gather(*calls) == [None] * 3
                assert taken == heard == list(range(90))
                assert saboteur.cuts > 0
                saboteur.is_calm = True
    await no_tasks()


async def test_an_older_count_behind_a_newer_one_does_no_harm() -> None:
    app = shop()
    async with running(app) as url:
        target = parse_url(url)
        server = Asking(Way(), target, [], fresh=False, max_answer=100_000)
        welcome = json.loads((await server.ask("GET", "/ws/poll")).body)
        who = f"session={welcome['session']}&resume={welcome['token']}"
        joins = (
            b'{"type":"join","ref":1,"address":"chat"}\x1e{"type":"join","ref":2,"address":"chat"}'
        )
        assert (await server.ask("POST", f"/ws/poll?{who}", joins)).status == 204
        assert b"joined" in (await server.ask("GET", f"/ws/poll?{who}")).body
        ack = b'{"type":"ack","received":1}\x1e{"type":"event","address":"chat","event":"out"}'
        waiting = asyncio.create_task(server.ask("GET", f"/ws/poll?{who}&ack=2"))
        (session,) = app.node.sessions.values()
        await until(lambda: session.outbox.acked == 2)
        posts = Asking(Way(), target, [], fresh=False, max_answer=100_000)
        await posts.ask("POST", f"/ws/poll?{who}", ack)
        (last,) = [value for name, value in (await waiting).headers if name == "x-anywire-close"]
        assert last.startswith("4003")  # and not 4400
        server.abort()
        posts.abort()


# --- dialing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "answer"),
    [("events", said(b":\n\n", kind="text/plain")), ("poll", said(b"{}", kind=EVENTS))],
)
async def test_an_answer_of_another_kind_is_somebody_elses(carrier: Name, answer: bytes) -> None:
    async with scripted(answer) as (_, url):
        with pytest.raises(ConnectionError, match="answered 200"):
            await HttpDialer(carrier).dial(url, OPEN)


@OVER
async def test_only_the_own_wire_goes_over_requests(carrier: Name) -> None:
    client = over(carrier, "http://127.0.0.1:1/ws", machine=PlainClient("chat"))
    with pytest.raises(Refused, match=f"the carrier {carrier} speaks anywire.json.1"):
        await client.open()


async def test_event_streams_hold_no_messagepack() -> None:
    with pytest.raises(Refused, match=r"the carrier events speaks anywire\.json\.1$"):
        await HttpDialer("events").dial("http://x/", Request(subprotocols=["anywire.msgpack.1"]))


async def test_nobody_there_is_tried_again() -> None:
    async with scripted() as (_, url):
        pass
    client = over("poll", url, first_timeout=0.05)
    with pytest.raises(Closed, match="no connection"):
        await client.open()


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        HttpDialer("poll", unix="/run/x", proxy="http://p:1")
    with pytest.raises(ValueError, match="not 'websocket'"):
        HttpDialer("websocket")  # type: ignore[arg-type]
