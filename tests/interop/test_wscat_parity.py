"""Option by option: what the real wscat does, `anywire talk` does.

Each scenario is run by both at the same time, each against a server of its own that notes what it
sees; what the servers saw and what the programs printed must agree. Where they differ on purpose
(docs/reference/cli.md lists it) the test says so.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from anywire.cli.main import parser
from tests.cli.certificates import PASSPHRASE, Certificates, write_certificates
from tests.cli.person import Person, command_at_terminal
from tests.interop.wscat_parity import (
    PROGRAMS,
    WSCAT,
    Program,
    Ran,
    Seen,
    Server,
    Session,
    connect_proxy,
    noting,
    port_of,
)

pytestmark = [pytest.mark.node, pytest.mark.net, pytest.mark.slow]

PROMPTS = re.compile(r"^(?:> )+", re.MULTILINE)
Play = Callable[[str, Server], Awaitable[Ran]]
REDIRECT = "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates"))


async def both(play: Play, context: ssl.SSLContext | None = None) -> tuple[Ran, Ran]:
    """Play a scenario with both programs, at the same time."""

    async def one(name: str) -> Ran:
        async with noting(context) as server:
            return await play(name, server)

    wscat, ours = await asyncio.gather(one("wscat"), one("anywire"))
    return wscat, ours


def script(*options: str, scheme: str = "ws", path: str = "/chat?a=b") -> Play:
    """`-x hi -w 0.2` with these options."""

    async def play(name: str, server: Server) -> Ran:
        url = f"{scheme}://{server.where}{path}" if scheme else f"{server.where}{path}"
        program = await Program.start(name, "-c", url, "-x", "hi", "-w", "0.2", *options)
        out, err, code = await program.ended()
        return Ran(out, err, code, server.seen[-1] if server.seen else Seen())

    return play


def agree(wscat: Ran, ours: Ran) -> None:
    """Nobody could tell the two apart."""
    # In a pipe, too, wscat prints its prompt after each line it sends.
    assert ours.out == PROMPTS.sub("", wscat.out)
    assert ours.seen.path == wscat.seen.path
    assert ours.seen.wish == wscat.seen.wish
    assert ours.seen.subprotocol == wscat.seen.subprotocol
    assert ours.seen.frames == wscat.seen.frames
    # On its own wscat closes with no code (1005), we with 1000: both are normal.
    assert normal(ours.seen.close) == normal(wscat.seen.close)
    assert (ours.code == 0) == (wscat.code == 0)


def normal(close: tuple[int, str] | None) -> tuple[int, str] | None:
    return (1000, "") if close == (1005, "") else close


# --- one option of the request --------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ["-H", "X-One: 1", "--header", "X-Two:2:3"],
        ["-s", "one", "--subprotocol", "two"],
        ["-o", "https://a.example"],
        ["--auth", "ana:s3cret:with:colons", "--origin", "null"],
        ["--auth", "ana:s3cret", "-H", "Authorization: replaced"],
        ["-p", "13", "--no-color"],
        ["-x", "two", "--execute", "snow \N{SNOWMAN}", "--wait", "0.2"],
        ["--slash", "-x", "/ping"],  # a slash in -x is text
    ],
    ids=" ".join,
)
async def test_an_option_of_the_request_reaches_the_server_alike(options: list[str]) -> None:
    wscat, ours = await both(script(*options))
    agree(wscat, ours)
    assert ours.out.startswith("hi\n")


async def test_connect_may_leave_the_scheme_out() -> None:
    wscat, ours = await both(script(scheme=""))
    agree(wscat, ours)
    assert ours.seen.path == "/chat?a=b"


async def test_host_is_the_host_header() -> None:
    wscat, ours = await both(script("--host", "b.example:81"))
    agree(wscat, ours)
    assert ours.seen.headers["host"] == wscat.seen.headers["host"] == "b.example:81"


# --- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "least"), [((), 1.9), (("-w", "0.5"), 0.45), (("-w", "0"), 0)])
async def test_wait_is_how_long_the_answers_may_take(options: Sequence[str], least: float) -> None:
    async def play(name: str, server: Server) -> Ran:
        server.echoes = False
        program = await Program.start(name, "-c", server.where, "-x", "hi", *options)
        await server.until(lambda: server.seen and server.seen[0].frames)
        before = time.monotonic()
        await server.until(lambda: server.seen[0].close)
        took = time.monotonic() - before
        assert least <= took < least + 1.0
        return Ran(*await program.ended(), server.seen[0])

    agree(*await both(play))


async def test_wait_minus_one_holds_open_until_the_server_closes() -> None:
    async def play(name: str, server: Server) -> Ran:
        program = await Program.start(name, "-c", server.where, "-x", "hi", "-w", "-1")
        assert await program.prints() == "hi"
        server.sessions[0].send("late")
        assert await program.prints() == "late"
        server.sessions[0].close(1000)
        return Ran(*await program.ended(), server.seen[0])

    agree(*await both(play))


# --- typing ---------------------------------------------------------------------------------------


def typing(*options: str, lines: Sequence[str], until: Callable[[Session], object]) -> Play:
    """Type lines; the server closes once it has seen enough, unless they do."""

    async def play(name: str, server: Server) -> Ran:
        server.opened = lambda session: session.send("ready")
        server.echoes = not any(line.startswith("/close") for line in lines)
        program = await Program.start(name, "-c", server.where, *options)
        assert await program.prints() == "ready"
        program.say(*lines)
        await server.until(lambda: until(server.sessions[0]) or server.seen[0].close)
        if server.seen[0].close is None:
            server.sessions[0].close(1000)
        return Ran(*await program.ended(), server.seen[0])

    return play


async def test_lines_of_stdin_are_messages() -> None:
    said = ["one", "", " two ", "/ping", '{"event":"three"}']
    wscat, ours = await both(typing(lines=said, until=lambda one: len(one.seen.frames) == 5))
    agree(wscat, ours)
    assert [data.decode() for _, data in ours.seen.frames] == said


@pytest.mark.parametrize(
    "said",
    [
        ["/ping", "/ping now and then", "/pong", "/pong unasked", "text"],
        ["text", "/close"],
        ["/close 1001 going  away"],
    ],
    ids=" ".join,
)
async def test_slash_commands_are_control_frames(said: list[str]) -> None:
    def is_enough(session: Session) -> bool:
        return len(session.seen.frames) == len(said)

    wscat, ours = await both(typing("--slash", lines=said, until=is_enough))
    agree(wscat, ours)
    assert "/" not in ours.out


@pytest.mark.parametrize("options", [["-P"], []], ids=" ".join)
async def test_pings_and_pongs_are_printed_where_that_is_wanted(options: list[str]) -> None:
    async def play(name: str, server: Server) -> Ran:
        def probe(session: Session) -> None:
            session.ping(b"are you there")

        server.opened = probe
        program = await Program.start(name, "-c", server.where, *options)
        await server.until(
            lambda: server.seen and ("pong", b"are you there") in server.seen[0].frames
        )
        session = server.sessions[0]
        session.pong(b"unasked")
        session.send("text")
        session.close(1000)
        return Ran(*await program.ended(), server.seen[0])

    wscat, ours = await both(play)
    agree(wscat, ours)
    assert ours.out.count("Received") == (2 if options else 0)


# --- TLS ------------------------------------------------------------------------------------------


def serving_tls(files: Certificates, *, wants_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.both)
    if wants_certificate:
        context.load_verify_locations(files.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_no_check_takes_any_certificate(files: Certificates) -> None:
    wscat, ours = await both(script("-n", scheme="wss"), serving_tls(files))
    agree(wscat, ours)
    assert ours.out == "hi\n"


async def test_ca_is_trusted(files: Certificates) -> None:
    wscat, ours = await both(script("--ca", files.ca, scheme="wss"), serving_tls(files))
    agree(wscat, ours)
    assert ours.out == "hi\n"


async def test_a_certificate_of_nobody_known_is_refused(files: Certificates) -> None:
    wscat, ours = await both(script(scheme="wss"), serving_tls(files))
    assert (wscat.out, ours.out) == ("", "")
    assert wscat.code and ours.code and wscat.err and ours.err
    assert wscat.seen.path == ours.seen.path == ""


@pytest.mark.parametrize("is_locked", [False, True], ids=["key", "passphrase"])
async def test_our_certificate_is_shown(is_locked: bool, files: Certificates) -> None:
    key = files.locked if is_locked else files.key
    options = ["--ca", files.ca, "--cert", files.cert, "--key", key]
    if is_locked:
        options += ["--passphrase", PASSPHRASE]
    context = serving_tls(files, wants_certificate=True)
    wscat, ours = await both(script(*options, scheme="wss"), context)
    agree(wscat, ours)
    assert ours.seen.certificate == wscat.seen.certificate != {}


async def test_a_server_that_wants_a_certificate_refuses_us_without(files: Certificates) -> None:
    context = serving_tls(files, wants_certificate=True)
    wscat, ours = await both(script("--ca", files.ca, scheme="wss"), context)
    assert (wscat.out, ours.out) == ("", "")
    assert wscat.code and ours.code


# --- redirects and proxies ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "follows"),
    [
        (["-L"], True),
        (["--location", "--max-redirects", "2"], True),
        (["-L", "--max-redirects", "1"], False),
        ([], False),
    ],
    ids=["-L", "--location", "too many", "none"],
)
async def test_location_follows_redirects(options: list[str], follows: bool) -> None:
    leads = {"/a": "/b?c=d", "/b?c=d": "/end"}

    async def play(name: str, server: Server) -> Ran:
        def answer(path: str) -> bytes | None:
            return REDIRECT.format(leads[path]).encode() if path in leads else None

        server.answer = answer
        url = f"ws://{server.where}/a"
        program = await Program.start(
            name, "-c", url, "-x", "hi", "-w", "0.2", "-H", "X-One: 1", *options
        )
        out, err, code = await program.ended()
        asked = server.seen[-1]
        asked.path = " ".join(seen.path for seen in server.seen)
        return Ran(out, err, code, asked)

    wscat, ours = await both(play)
    agree(wscat, ours)
    assert (ours.seen.path == "/a /b?c=d /end") is follows
    assert (ours.code == 0) is follows


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_proxy_is_asked_to_connect(scheme: str, files: Certificates) -> None:
    asked: dict[str, list[str]] = {}

    async def play(name: str, server: Server) -> Ran:
        port = server.where.split(":")[1]
        # The name is one that only the proxy knows: nobody looks it up before.
        async with connect_proxy({f"chat.invalid:{port}": server.where}) as (proxy, lines):
            program = await Program.start(
                name,
                *("-c", f"{scheme}://chat.invalid:{port}/", "--proxy", f"http://{proxy}"),
                *("-x", "hi", "-w", "0.2", "--no-check"),
            )
            ran = Ran(*await program.ended(), server.seen[0])
            asked[name] = [line.replace(port, "PORT") for line in lines]
            return ran

    wscat, ours = await both(play, serving_tls(files) if scheme == "wss" else None)
    agree(wscat, ours)
    assert asked["anywire"] == asked["wscat"] == ["CONNECT chat.invalid:PORT HTTP/1.1"]


# --- at a terminal --------------------------------------------------------------------------------

COLOR = re.compile(r"\x1b\[3[1-6]m")
TERMINAL = {"TERM": "xterm", "INPUTRC": "/dev/null", "XDG_STATE_HOME": "/dev/null"}


def shown(person: Person) -> list[str]:
    """What stands on the screen, without what was typed at the prompt and ports."""
    lines = (line.strip() for line in PROMPTS.sub("", person.screen).split("\n"))
    marks = ("<", "Connected", "Client", "Listening", "Disconnected", "error")
    found = [line for line in lines if line.startswith(marks)]
    return [re.sub(r"on port \d+", "on port N", line) for line in found]


@pytest.mark.parametrize("options", [[], ["--no-color"]], ids=["color", "no color"])
async def test_a_terminal_shows_the_same_in_the_same_colors(options: list[str]) -> None:
    colors: dict[str, list[str]] = {}
    screens: dict[str, list[str]] = {}

    async def play(name: str) -> None:
        async with noting() as server:
            command = (*PROGRAMS[name], "-c", server.where, *options)
            async with command_at_terminal(*command, env=TERMINAL) as person:
                await person.sees("Connected (press CTRL+C to quit)")
                await person.sees("> ")
                person.type("hello\r")
                await person.sees("< hello")
                server.sessions[0].close(4001, "that is all")
                await person.sees('Disconnected (code: 4001, reason: "that is all")')
                await person.ends()
                screens[name] = shown(person)
                colors[name] = COLOR.findall(person.raw)

    await asyncio.gather(*map(play, PROGRAMS))
    # We add a line on why it ended, since a code that is not 1000 is no success.
    assert screens["anywire"][:3] == screens["wscat"]
    assert colors["anywire"] == colors["wscat"]
    assert (colors["wscat"] == []) is bool(options)


async def test_a_listener_talks_to_a_client_the_same() -> None:
    screens: dict[str, list[str]] = {}
    chosen: dict[str, str | None] = {}

    async def visit(name: str, person: Person, port: int, code: int) -> None:
        offered = [Subprotocol("one"), Subprotocol("two")]
        async with connect(
            f"ws://127.0.0.1:{port}/any?path=1",
            subprotocols=offered,
            origin=Origin("https://a.example"),
        ) as client:
            chosen[name] = client.subprotocol
            await person.sees("Client connected", times=code - 4000)
            await client.send(f"from {code}")
            await person.sees(f"< from {code}")
            person.type(f"to {code}\r")
            assert await client.recv() == f"to {code}"
            await (await client.ping(b"p"))
            await client.close(code, "bye")
        await person.sees(f'Disconnected (code: {code}, reason: "bye")')

    async def play(name: str) -> None:
        async with command_at_terminal(*PROGRAMS[name], "-l", "0", env=TERMINAL) as person:
            await person.sees("Listening on port")
            port = port_of(person.process.pid)
            for code in (4001, 4002):
                await visit(name, person, port, code)
            person.type("\x03")
            assert await person.ends() == 0
            screens[name] = shown(person)

    await asyncio.gather(*map(play, PROGRAMS))
    assert screens["anywire"] == screens["wscat"]
    assert len(screens["wscat"]) == 7
    assert chosen == {"wscat": "one", "anywire": "one"}


async def test_a_listener_and_a_client_of_either_kind_understand_each_other() -> None:
    async def play(listens: str, connects: str) -> None:
        async with command_at_terminal(*PROGRAMS[listens], "--listen", "0", env=TERMINAL) as person:
            await person.sees("Listening on port")
            where = f"127.0.0.1:{port_of(person.process.pid)}"
            client = await Program.start(connects, "-c", where, "-x", "hi", "-w", "-1")
            await person.sees("< hi")
            person.type("snow \N{SNOWMAN}\r")
            assert await client.prints() == "snow \N{SNOWMAN}"
            person.type("\x03")
            await person.ends()
            await client.ended()

    await asyncio.gather(play("wscat", "anywire"), play("anywire", "wscat"))


def test_every_option_of_wscat_is_known_here() -> None:
    declared = re.findall(r"\.option\(\s*'([^']+)'", WSCAT.read_text())
    assert len(declared) >= 20
    wanted = {name for option in declared for name in re.findall(r"(?<![\w-])--?[\w-]+", option)}
    (commands,) = [one for one in parser()._actions if isinstance(one.choices, dict)]
    assert isinstance(commands.choices, dict)
    talk = commands.choices["talk"]
    assert wanted <= {name for action in talk._actions for name in action.option_strings}
