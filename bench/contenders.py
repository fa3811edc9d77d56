"""The servers that are compared: how each is started, spoken to, and surely ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"
START_TIMEOUT = 15.0
STOP_TIMEOUT = 3.0


class RunFailed(Exception):
    """A server or the generator did not do its part; says which and what it printed."""


@dataclass(frozen=True, slots=True)
class Talk:
    """How the generator speaks to a server in one of its modes."""

    path: str
    hello: str = ""
    ready: str = ""
    prefix: str = ""
    suffix: str = ""
    subprotocol: str = ""
    speaks_first: bool = False
    """The generator says its hello at once, not once the server has said something."""

    def options(self, size: int) -> list[str]:
        """The generator's options for messages that carry `size` bytes of the application's."""
        options = ["-s", str(size + len(self.prefix) + len(self.suffix))]
        if self.subprotocol:
            options += ["-P", self.subprotocol]
        if self.hello:
            options += ["--hello", self.hello, "--ready", self.ready]
            options += ["--prefix", self.prefix, "--suffix", self.suffix, "--loose"]
        if self.speaks_first:
            options += ["--first"]
        return options


@dataclass(frozen=True, slots=True)
class Events:
    """How the generator speaks Socket.IO to a server in one of its modes."""

    event: str
    acknowledged: bool = False
    """The answer is an acknowledgement that carries the argument of the event, not the event."""
    path: str = "/socket.io/?EIO=4&transport=websocket"

    def options(self, size: int) -> list[str]:
        """The generator's options for events whose only argument is a text of `size` bytes."""
        whole = size + len(f'42["{self.event}",""]')
        options = ["-s", str(whole), "--socketio", self.event]
        return [*options, "--ack"] if self.acknowledged else options


@dataclass(frozen=True, slots=True)
class Server:
    """One server: its command without the port, which comes last, and its talks."""

    name: str
    command: tuple[str, ...]
    talks: Mapping[str, Talk | Events]
    warmup: float = 0.0
    """Least seconds of the workload before measuring."""


def own(address: str, message: str) -> Talk:
    """A join, then messages of anywire's own wire in JSON: `message` holds their first members."""
    return Talk(
        path="/ws",
        subprotocol="anywire.json.1",
        hello=f'{{"type":"join","ref":1,"address":"{address}"}}',
        ready='"joined"',
        prefix=f'{{{message},"address":"{address}","event":"say","data":"',
        suffix='"}',
    )


def serving(file: str) -> tuple[str, ...]:
    """The command of anywire's own server for the app in one of our files."""
    return (str(ROOT / ".venv/bin/anywire"), "serve", f"{HERE / file}:app", "--port")


def on_uvicorn(module: str) -> tuple[str, ...]:
    """The command of uvicorn for the ASGI app in one of the peers' modules."""
    return (
        *(PYTHON, "-m", "uvicorn", "--app-dir", str(PEERS), f"{module}:app"),
        *("--ws", "websockets-sansio", "--loop", "uvloop", "--lifespan", "off"),
        *("--ws-per-message-deflate", "false", "--log-level", "warning", "--no-access-log"),
        "--port",
    )


ANYWIRE = Server(
    name="anywire",
    command=serving("apps.py"),
    talks={"echo": Talk("/raw/echo"), "fanout": Talk("/raw/room")},
)
OWN = Server(
    name="anywire own wire",
    command=ANYWIRE.command,
    talks={"echo": own("echo", '"type":"call","ref":2'), "fanout": own("room", '"type":"event"')},
)
SIGNALR = Server(
    name="signalr",
    command=ANYWIRE.command,
    talks={
        "echo": Talk(
            "/signalr/echo",
            hello='{"protocol":"json","version":1}\x1e',
            ready="{}",
            prefix='{"type":1,"invocationId":"2","target":"say","arguments":["',
            suffix='"]}\x1e',
            speaks_first=True,
        )
    },
)
PHOENIX = Server(
    name="phoenix",
    command=ANYWIRE.command,
    talks={
        "echo": Talk(
            "/socket/websocket?vsn=2.0.0",
            hello='["1","1","echo","phx_join",{}]',
            ready="phx_reply",
            prefix='["1","2","echo","say",{"text":"',
            suffix='"}]',
            speaks_first=True,
        )
    },
)
_ECHO = r'"identifier":"{\"channel\":\"echo\"}"'
ACTION_CABLE = Server(
    name="actioncable",
    command=ANYWIRE.command,
    talks={
        "echo": Talk(
            "/cable",
            subprotocol="actioncable-v1-json",
            hello=f'{{"command":"subscribe",{_ECHO}}}',
            ready="confirm_subscription",
            prefix=f'{{"command":"message",{_ECHO},"data":"{{\\"action\\":\\"transmit\\",\\"text\\":\\"',
            suffix=r'\"}"}',
        )
    },
)
PLAIN = {"echo": Talk("/echo"), "fanout": Talk("/room")}
PYTHON = str(HERE / ".peers/venv/bin/python")
WS = Server("ws", ("node", str(PEERS / "ws_server.cjs")), PLAIN, warmup=1.0)
UVICORN = Server("uvicorn", on_uvicorn("asgi_app"), PLAIN)
WEBSOCKETS = Server("websockets", (PYTHON, str(PEERS / "websockets_server.py")), PLAIN)

EVENTS = {"echo": Events("say", acknowledged=True), "fanout": Events("shout")}
ANYWIRE_SOCKETIO = Server(name="anywire", command=serving("socketio_apps.py"), talks=EVENTS)
SOCKETIO = Server("socket.io", ("node", str(PEERS / "socketio_server.cjs")), EVENTS, warmup=1.0)
PYTHON_SOCKETIO = Server("python-socketio", on_uvicorn("socketio_app"), EVENTS)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def pinned(core: int) -> list[str]:
    """The words before a command that keep its process on one core."""
    return ["taskset", "-c", str(core)]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    pid: int
    port: int

    def loop(self) -> str:
        """The event loop of a Python server, told by the libraries it has loaded."""
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        return "uvloop" if "uvloop" in maps else "asyncio"

    def signal(self, number: int) -> None:
        """Sends the process a signal."""
        os.kill(self.pid, number)

    def cpu(self) -> tuple[float, float]:
        """Seconds of CPU that the process has used so far: its own, the kernel's."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        tick = os.sysconf("SC_CLK_TCK")
        return int(fields[11]) / tick, int(fields[12]) / tick


@contextmanager
def started(command: Sequence[str], core: int) -> Iterator[Running]:
    """Runs a server, the port added to its command, and ends it by its id whatever happens.

    Raises RunFailed when it does not accept connections in time.
    """
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*pinned(core), *command, str(port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            await_port(process, port)
            yield Running(process.pid, port)
        except RunFailed as failed:
            raise RunFailed(f"{failed}\n{tail(output)}".rstrip()) from None
        finally:
            end(process)


def await_port(process: subprocess.Popen[bytes], port: int) -> None:
    """Returns once the server accepts a connection."""
    latest = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < latest:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    how = "does not listen" if process.poll() is None else f"ended with {process.returncode}"
    raise RunFailed(f"the server {how}")


def tail(output: IO[bytes]) -> str:
    """The last lines that a server printed."""
    output.seek(0)
    return "\n".join(output.read().decode(errors="replace").splitlines()[-20:])


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks the process to stop, and kills it when it has not in time or we are in a hurry."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
