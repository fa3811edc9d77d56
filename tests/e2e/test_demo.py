"""The demo as people meet it: real processes, a real browser, real sockets, one room."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from anywire.client import Channel, Client, connect
from tests.e2e.processes import NODE_MODULES, Browser, Demo, Process, Processes
from tests.e2e.proxy import proxied

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.node]
WSCAT = NODE_MODULES / "wscat" / "bin" / "wscat"


class PythonUser:
    """The Python client in the chat, with all that it heard."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.chat: Channel = client.channel("chat", recover=True)
        self.heard: list[tuple[str, object]] = []
        self._changed = asyncio.Event()
        for event in ("room-message", "user-joined", "user-left"):
            self.chat.on(event, lambda data, event=event: self._hear(event, data))
        client.on("state", lambda *_: self._changed.set())
        self.chat.presence.on_change(lambda *_: self._changed.set())

    async def hears(self, text: str) -> None:
        """Wait for a message."""
        await self.until(lambda: any(text in str(data) for _, data in self.heard), text)

    async def until(self, condition: object, what: str) -> None:
        """Wait until a condition of what was heard, or of the client's state, is true."""
        assert callable(condition)
        try:
            async with asyncio.timeout(10):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what}: not within 10 s; heard {self.heard}") from None

    async def say(self, text: str, room: str = "lobby") -> object:
        return await self.chat.call("send-message", room=room, message=text)

    def _hear(self, event: str, data: object) -> None:
        self.heard.append((event, data))
        self._changed.set()


@asynccontextmanager
async def python_user(demo: Demo, name: str, **options: float) -> AsyncIterator[PythonUser]:
    async with connect(f"{demo.ws}?name={name}", **options) as client:  # type: ignore[arg-type]
        user = PythonUser(client)
        await user.chat.join()
        yield user


async def plain(processes: Processes, demo: Demo, kind: str) -> Process:
    """A client that knows nothing of anywire, once it is in the lobby."""
    url = f"{demo.ws}?name={kind}"
    if kind == "wscat":
        process = await processes.start("wscat", "node", WSCAT, "-c", url)
    else:
        process = await processes.node(kind, "talker.mjs", url)
    await process.line('"type":"presence"')
    return process


def said(text: str, room: str = "lobby") -> str:
    return json.dumps({"type": "send-message", "room": room, "message": text})


def said_by(text: str) -> Callable[[str], bool]:
    """Whether a line tells a message of the chat with this text."""
    return lambda line: "room-message" in line and text in line


@pytest.mark.browser
async def test_every_kind_of_client_meets_in_one_room(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana&token=secret")
    await browser.open("bo", f"{demo.url}/?name=bo")
    talk = await processes.anywire(
        "talk", "talk", f"{demo.ws}?name=terminal", "--wire", "anywire", "--join", "chat", "--json"
    )
    await talk.line('"type":"joined"')
    wscat = await plain(processes, demo, "wscat")
    ws = await plain(processes, demo, "ws")
    async with python_user(demo, "python") as python:
        for page in ("ana", "bo"):
            for name in ("ana", "bo", "terminal", "wscat", "ws", "python"):
                await browser.do("see", page=page, selector=".person", text=name)

        # Each says one thing, in its own way.
        await browser.type("ana", "said by ana")
        await browser.type("bo", "said by bo")
        line = {"event": "send-message", "data": {"room": "lobby", "message": "said by terminal"}}
        await talk.say(json.dumps(line))
        await wscat.say(said("said by wscat"))
        await ws.say("said by ws")
        assert await python.say("said by python") == {"status": "ok"}

        # Each hears what the others said.
        names = ["ana", "bo", "terminal", "wscat", "ws", "python"]
        for name in names:
            text = f"said by {name}"
            for page in ("ana", "bo"):
                if page != name:
                    await browser.hears(page, text)
            for process in (talk, wscat, ws):
                await process.line(said_by(text))
            await python.hears(text)
        message = {"room": "lobby", "user": "ws", "message": "said by ws"}
        assert ("room-message", message) in python.heard

    # Its own are marked as such, and shown once; so is a name that the token stands for.
    own = await browser.texts("ana", ".message.own .text")
    assert own == ["said by ana"]
    assert len(await browser.texts("ana", ".message.other")) == 5
    await browser.do("see", page="bo", selector=".person:has(.tick)", text="ana")
    assert len(await browser.texts("bo", ".person .tick")) == 1
    assert await browser.do("troubles") == []


@pytest.mark.browser
async def test_rooms_are_joined_left_and_counted_and_a_message_is_text(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana")
    async with python_user(demo, "bo") as bo:
        await bo.say("before ana came", room="garden")
        await browser.type("ana", "garden", label="Name of a room to join")
        await browser.hears("ana", "before ana came")
        await browser.do("click", page="ana", role="button", name="lobby")
        await bo.say("one", room="garden")
        await bo.say("two", room="garden")
        await browser.do("see", page="ana", selector=".badge", text="2")
        await browser.do("click", page="ana", role="button", name="# garden")
        assert await browser.texts("ana", ".badge") == []

        markup = '<img src=x onerror="document.title=1"><b>bold</b>'
        await bo.say(markup, room="garden")
        await browser.hears("ana", markup)
        assert await browser.texts("ana", "#messages img, #messages b") == []

        await browser.do("click", page="ana", role="button", name="Leave garden")
        await bo.until(lambda: any(event == "user-left" for event, _ in bo.heard), "ana left")
        await bo.say("ana does not hear this", room="garden")
        await bo.say("but this")
        await browser.hears("ana", "but this")
        assert "ana does not hear this" not in await browser.do(
            "evaluate", page="ana", code="document.body.innerText"
        )


@pytest.mark.browser
async def test_a_killed_server_comes_back_and_what_was_typed_meanwhile_arrives(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana")
    await browser.type("ana", "garden", label="Name of a room to join")
    async with python_user(demo, "bo", reconnect_interval=0.2, max_reconnect_interval=0.5) as bo:
        await bo.say("hello", room="garden")
        await browser.hears("ana", "hello")
        await demo.process.kill()
        await browser.state("ana", "No connection")
        await browser.do("see", page="ana", selector="#countdown", text="next try in")
        await browser.type("ana", "typed by ana meanwhile")
        await browser.do("see", page="ana", selector="[data-sending=pending]", text="meanwhile")
        await browser.do("see", page="ana", selector="#waiting", text="1 message waits")
        await bo.until(lambda: bo.client.state != "open", "bo sees the cut")
        typed = asyncio.create_task(bo.say("typed by bo meanwhile", room="garden"))

        await processes.demo("second server", port=demo.port)
        assert await typed == {"status": "ok"}
        await browser.state("ana", "Connected")
        await browser.hears("ana", "typed by bo meanwhile")
        await browser.do("see", page="ana", selector="[data-sending=sent]", text="meanwhile")
        # Whoever came back later was told as one who joins.
        recent = (await bo.chat.call("join-room", "garden"))["recent"]
        arrived = sorted(said["message"] for said in recent)
        assert arrived == ["typed by ana meanwhile", "typed by bo meanwhile"]
        await browser.type("ana", "here again")
        await bo.hears("here again")
        assert await browser.texts("ana", "#waiting") == [""]


@pytest.mark.browser
async def test_a_cut_page_goes_on_with_its_session_and_nobody_hears_of_it(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    async with proxied(demo.port) as proxy, python_user(demo, "bo") as bo:
        await browser.open("ana", f"http://127.0.0.1:{proxy.port}/?name=ana")
        await browser.type("ana", "before")
        await bo.hears("before")
        proxy.is_refusing = True
        proxy.cut()
        await browser.state("ana", "No connection")
        await browser.type("ana", "meanwhile")
        await bo.say("are you there?")
        proxy.is_refusing = False
        # By script, since the wait may just be over by itself.
        await browser.do(
            "evaluate", page="ana", code="document.getElementById('reconnect').click()"
        )
        await browser.state("ana", "Connected")
        await browser.hears("ana", "are you there?")
        await bo.hears("meanwhile")
        own = await browser.texts("ana", ".message.own .text")
        assert own == ["before", "meanwhile"]
        assert await browser.texts("ana", ".message.other .text") == ["are you there?"]
        assert [event for event, _ in bo.heard if event != "room-message"] == ["user-joined"]


@pytest.mark.browser
async def test_a_new_name_is_heard_by_others_and_remembered(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    async with python_user(demo, "bo") as bo:
        await browser.open("ana", demo.url)
        await bo.say("welcome")
        await browser.type("ana", "garden", label="Name of a room to join")
        await browser.type("ana", "I am a guest")
        await bo.say("hello there", room="garden")
        await browser.hears("ana", "hello there")
        await browser.type("ana", "Ana", label="Your name")
        await browser.do("see", page="ana", selector=".person", text="Ana")
        await browser.type("ana", "I am Ana")
        message = {"room": "garden", "user": "Ana", "message": "I am Ana"}
        await bo.until(lambda: ("room-message", message) in bo.heard, "the new name")
        await browser.do("see", page="ana", selector="[data-sending=sent]", text="I am Ana")
        # What the server tells again under the new name is not shown again.
        texts = await browser.texts("ana", ".message .text")
        assert texts == ["I am a guest", "hello there", "I am Ana"]
        await browser.open("again", demo.url)
        await browser.do("see", page="again", selector=".person", text="Ana")
        await browser.hears("again", "welcome")


@pytest.mark.browser
async def test_a_wrong_token_is_refused_and_the_page_goes_on_as_a_guest(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.do("open", page="eve", url=f"{demo.url}/?name=eve&token=wrong")
    await browser.state("eve", "Closed")
    await browser.do("see", page="eve", selector="#notice", text="this is not the token")
    await browser.do("click", page="eve", role="button", name="Go on as a guest")
    await browser.state("eve", "Connected")
    await browser.do("see", page="eve", selector=".person", text="eve")
    assert await browser.texts("eve", ".person .tick") == []


@pytest.mark.browser
async def test_what_the_page_says_to_paste_works_as_it_is(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana&token=secret")
    await browser.type("ana", "it's a garden", label="Name of a room to join")
    await browser.do("see", page="ana", selector="#room-name", text="it's a garden")
    code = """[...document.querySelectorAll("[role=tabpanel]")].map(
        (panel) => [...panel.querySelectorAll("code")].map((code) => code.textContent))"""
    (talk, line, script), (wscat, join, send, bare), (python,) = await browser.do(
        "evaluate", page="ana", code=code
    )
    shell = await processes.start("shell", "sh")
    await shell.say(script)
    await browser.hears("ana", "hello from a script")
    typed = await processes.start("typed", "sh", "-c", talk)
    await typed.say(line)
    await browser.hears("ana", "hello from a terminal")
    cat = await processes.start("cat", "sh", "-c", wscat.replace("npx wscat", f"node '{WSCAT}'"))
    await cat.line('"type":"presence"')
    for text in (join, send, bare):
        await cat.say(text)
    await cat.line('"status":"ok"')
    await browser.hears("ana", "hello from wscat")
    await browser.hears("ana", "hello again")
    await shell.say(python)
    await browser.hears("ana", "hello from Python")
    await browser.do("see", page="ana", selector=".message:has(.tick)", text="hello from Python")


async def test_the_token_counts_in_the_header_and_a_wrong_one_closes_with_4401(
    processes: Processes,
) -> None:
    demo = await processes.demo()
    async with python_user(demo, "bo") as bo:
        headers = ["-H", "Authorization: Bearer secret"]
        await processes.start("ana", "node", WSCAT, "-c", f"{demo.ws}?name=ana", *headers)
        await bo.until(lambda: "@ana" in bo.chat.presence, "ana is verified")
        assert bo.chat.presence["@ana"] == [{"name": "ana", "verified": True}]
    eve = await processes.node("eve", "talker.mjs", f"{demo.ws}?name=eve&token=wrong")
    await eve.line("closed 4401")


# --- the official clients ------------------------------------------------------------------------


async def socketio(processes: Processes, url: str, auth: object, **options: object) -> Process:
    """The official client of Socket.IO in Node."""
    name = f"socket.io {url.rpartition('/')[2]}"
    told = (json.dumps(auth), json.dumps(options))
    return await processes.node(name, "socketio_talker.mjs", url, *told)


@pytest.mark.parametrize("namespace", ["/", "/chat"])
@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_the_client_of_socketio_is_in_the_chat_at_both_namespaces(
    processes: Processes, namespace: str, transports: list[str]
) -> None:
    demo = await processes.demo()
    auth = {"token": "secret", "name": "io"}
    async with python_user(demo, "bo") as bo:
        io = await socketio(processes, demo.url + namespace, auth, transports=transports)
        await io.line(f'{{"connect":"{namespace}"}}')
        if len(transports) == 2:
            await io.line('{"upgrade":"websocket"}')
        await bo.until(lambda: "@io" in bo.chat.presence, "io is verified")
        await bo.say("hello io")
        message = {"room": "lobby", "user": "bo", "message": "hello io"}
        assert json.loads(await io.line(said_by("hello io")))["args"] == [message]
        await io.say(json.dumps(["join-room", "garden"]))
        await io.line('{"answer":{"status":"ok","room":"garden","recent":[]}}')
        await io.say(json.dumps(["send-message", {"room": "lobby", "message": "hello bo"}]))
        await io.line('{"answer":{"status":"ok"}}')
        message = {"room": "lobby", "user": "io", "message": "hello bo"}
        await bo.until(lambda: ("room-message", message) in bo.heard, "what io said")
        assert json.loads(await io.line(said_by("hello bo")))["args"] == [message]
        assert await io.finish() == 0
        await bo.until(lambda: any(event == "user-left" for event, _ in bo.heard), "io left")
        assert "@io" not in bo.chat.presence


@pytest.mark.parametrize("namespace", ["/", "/chat"])
@pytest.mark.parametrize("transports", [["polling"], ["websocket"]])
@pytest.mark.parametrize(
    ("auth", "code", "text"),
    [
        ({"token": "wrong"}, "bad_token", "this is not the token that the server printed"),
        ({}, "no_token", "show the token that the server printed"),
    ],
    ids=["wrong", "missing"],
)
async def test_without_the_token_the_client_of_socketio_gets_a_connect_error(
    processes: Processes,
    namespace: str,
    transports: list[str],
    auth: dict[str, str],
    code: str,
    text: str,
) -> None:
    demo = await processes.demo()
    eve = await socketio(processes, demo.url + namespace, auth, transports=transports)
    refused = json.loads(await eve.line('{"refused":'))
    assert refused["refused"].startswith(text)
    assert refused["data"] == {"code": code}
    assert not refused["isActive"]
    assert await eve.finish() == 0
    assert not [line for line in eve.lines if "connect" in line and "refused" not in line]


PANELS = {
    "Socket.IO": "#socketio",
    "SockJS": "#sockjs",
    "SignalR": "#signalr",
    "Phoenix": "#phoenix",
    "Action Cable": "#actioncable",
}
AUTOMATIC = {
    "Socket.IO": "polling → websocket",
    "SockJS": "websocket",
    "SignalR": "WebSockets",
    "Phoenix": "websocket",
    "Action Cable": "websocket",
}
"""What carries a panel in the end that may choose."""
CHOSEN = {
    "Socket.IO": ("polling", "websocket"),
    "SockJS": ("xhr-streaming", "xhr-polling", "websocket"),
    "SignalR": ("ServerSentEvents", "LongPolling", "WebSockets"),
    "Phoenix": ("longpoll", "websocket"),
}
"""Transports that can be chosen, in the order in which the tests do."""


async def connect_panels(browser: Browser, page: str) -> None:
    """Press the button of each panel and wait for what carries it in the end."""
    for title in PANELS:
        await browser.do("click", page=page, role="button", name=f"Connect {title}")
    for title, carrier in AUTOMATIC.items():
        await shows(browser, page, title, ".carrier", carrier)
        await shows(browser, page, title, ".state", "Connected")


async def shows(browser: Browser, page: str, title: str, selector: str, text: str) -> None:
    """Wait until a panel shows this."""
    await browser.do("see", page=page, selector=f"{PANELS[title]} {selector}", text=text)


async def chooses(browser: Browser, page: str, title: str, transport: str) -> None:
    await browser.do("choose", page=page, label=f"Transport of {title}", text=transport)


@pytest.mark.browser
async def test_who_writes_in_a_panel_is_read_in_all_and_everywhere(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana&token=secret")
    await connect_panels(browser, "ana")
    wscat = await plain(processes, demo, "wscat")
    async with python_user(demo, "python") as python:
        for name in ("ana", *(f"ana via {title}" for title in PANELS)):
            await browser.do("see", page="ana", selector=".person:has(.tick)", text=name)
        await browser.type("ana", "by our own")
        for title in PANELS:
            await browser.type("ana", f"by {title}", label=f"Message by {title}")
        await python.say("by python")
        await wscat.say(said("by wscat"))
        texts = ["by our own", *(f"by {title}" for title in PANELS), "by python", "by wscat"]
        for text in texts:
            for title in PANELS:
                await shows(browser, "ana", title, ".line", text)
            await wscat.line(said_by(text))
            await python.hears(text)
        for text in texts[1:]:
            await browser.hears("ana", text)
        for title in PANELS:
            assert len(await browser.texts("ana", f"{PANELS[title]} .line")) == len(texts)
            own = await browser.texts("ana", f"{PANELS[title]} .line.own")
            assert own == [f"ana via {title} by {title}"]
        for title in PANELS:
            await browser.do("click", page="ana", role="button", name=f"Disconnect {title}")
            await shows(browser, "ana", title, ".state", "Not connected")
        await python.until(
            lambda: not any("via" in user for user in python.chat.presence), "they left"
        )
    assert await browser.do("troubles") == []


@pytest.mark.browser
async def test_the_panels_are_where_the_page_is_under_its_name(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana&token=secret")
    async with python_user(demo, "bo") as bo:
        await bo.say("before in the lobby")
        await bo.say("before in the garden", room="garden")
        await connect_panels(browser, "ana")
        for title in PANELS:
            await shows(browser, "ana", title, ".line", "before in the lobby")
        await browser.type("ana", "garden", label="Name of a room to join")
        for title in PANELS:
            if title != "SockJS":  # it is told of no room but the one it begins in
                await shows(browser, "ana", title, ".line", "before in the garden")
        for title in PANELS:
            await browser.type("ana", f"garden by {title}", label=f"Message by {title}")
        for title in PANELS:
            for speaker in PANELS:
                await shows(browser, "ana", title, ".line", f"garden by {speaker}")
            said = {"room": "garden", "user": f"ana via {title}", "message": f"garden by {title}"}
            await bo.until(
                lambda said=said: ("room-message", said) in bo.heard,
                "what is said in the garden",
            )
        # Under another name each comes again, and is told again what was said.
        await browser.type("ana", "Ana", label="Your name")
        for title in PANELS:
            await bo.until(
                lambda title=title: f"@Ana via {title}" in bo.chat.presence,
                "the new name",
            )
            if title != "SockJS":
                await shows(browser, "ana", title, ".line", "garden by Phoenix")
        await bo.until(
            lambda: not any("@ana via" in user for user in bo.chat.presence), "the old name"
        )
        await browser.do("click", page="ana", role="button", name="Leave garden")
        for title in PANELS:
            await shows(browser, "ana", title, ".line", "before in the lobby")
        await bo.say("after in the garden", room="garden")
        await bo.say("after in the lobby")
        for title in PANELS:
            await shows(browser, "ana", title, ".line", "after in the lobby")
            texts = await browser.texts("ana", f"{PANELS[title]} .line")
            assert texts == ["bo before in the lobby", "bo after in the lobby"]


@pytest.mark.browser
async def test_a_panel_goes_by_the_transport_that_is_chosen(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana&token=secret")
    async with python_user(demo, "bo") as bo:
        await bo.say("before")
        for title, transports in CHOSEN.items():
            await chooses(browser, "ana", title, transports[0])
            await browser.do("click", page="ana", role="button", name=f"Connect {title}")
        for number in range(3):
            chosen = {
                title: transports[number]
                for title, transports in CHOSEN.items()
                if number < len(transports)
            }
            for title, transport in chosen.items():
                if number:
                    await chooses(browser, "ana", title, transport)
            for title, transport in chosen.items():
                await shows(browser, "ana", title, ".carrier", transport)
                await shows(browser, "ana", title, ".state", "Connected")
                await shows(browser, "ana", title, ".line", "before")
                text = f"{title} by {transport}"
                await browser.type("ana", text, label=f"Message by {title}")
                await bo.hears(text)
                await shows(browser, "ana", title, ".line", text)


@pytest.mark.browser
async def test_a_panel_says_what_the_server_says_of_a_token_and_takes_another_one(
    processes: Processes, browser: Browser
) -> None:
    demo = await processes.demo()
    await browser.open("eve", f"{demo.url}/?name=eve")
    why = "this is not the token that the server printed at its start"
    errors = {
        "Socket.IO": f'connect_error: {why} {{"code":"bad_token"}}',
        "SockJS": f"closed with 4401: {why}",
        "SignalR": f"LongPolling failed: Error: {why}",
        "Phoenix": "the socket is forbidden (403)",
        "Action Cable": "disconnected, not to come back",
    }
    for title, error in errors.items():
        await browser.type("eve", "wrong", label=f"Token for {title}")
        await shows(browser, "eve", title, ".state", "Refused")
        await shows(browser, "eve", title, ".error", error)
    # A browser is told no more of a WebSocket than that there is none.
    for title, transport, error in (
        ("SignalR", "WebSockets", "WebSocket failed to connect"),
        ("Phoenix", "websocket", "the WebSocket was not opened"),
    ):
        await chooses(browser, "eve", title, transport)
        await browser.type("eve", "wrong too", label=f"Token for {title}")
        await shows(browser, "eve", title, ".state", "Refused")
        await shows(browser, "eve", title, ".error", error)
    await browser.type("eve", "日本", label="Token for Phoenix")
    await shows(browser, "eve", "Phoenix", ".error", "characters outside of the Latin1 range")
    await browser.type("eve", "", label="Token for Socket.IO")
    await shows(browser, "eve", "Socket.IO", ".error", '{"code":"no_token"}')
    guests = ("SockJS", "Phoenix")
    for title in PANELS:
        token = "" if title in guests else "secret"
        await browser.type("eve", token, label=f"Token for {title}")
        await shows(browser, "eve", title, ".state", "Connected")  # and has the focus
        tick = ":not(:has(.tick))" if title in guests else ":has(.tick)"
        await browser.do("see", page="eve", selector=f".person{tick}", text=f"eve via {title}")


@pytest.mark.browser
async def test_the_panels_come_back_with_the_server(processes: Processes, browser: Browser) -> None:
    demo = await processes.demo()
    await browser.open("ana", f"{demo.url}/?name=ana&token=secret")
    await browser.type("ana", "garden", label="Name of a room to join")
    await connect_panels(browser, "ana")
    await demo.process.kill()
    for title in PANELS:
        await shows(browser, "ana", title, ".state", "Reconnecting…")
    again = await processes.demo("second server", port=demo.port)
    # Action Cable looks after six seconds or more, or when somebody looks at the page again.
    looked = "dispatchEvent(new Event('visibilitychange'))"
    await browser.do("evaluate", page="ana", code=looked)
    for title in PANELS:
        await shows(browser, "ana", title, ".state", "Connected")
    async with python_user(again, "bo") as bo:
        await bo.say("here again", room="garden")
        for title in PANELS:
            await shows(browser, "ana", title, ".line", "here again")
