"""Hosts as processes: started on a free port, stopped by their id."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.contracts.host import Can, Host

ROOT = Path(__file__).parents[2]
START = 30.0
STOP = 15.0
_LISTENING = "0A"


@dataclass(slots=True)
class Hosting:
    """One running process, its output line by line."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        """Read the output to its end; in a thread."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self.lines.append("(end of its output)")
            self._changed.notify_all()

    def wait_for(self, text: str) -> str:
        """The line that has this text."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line or line.startswith("(end ")]

        with self._changed:
            assert self._changed.wait_for(found, START), self.said
        assert text in found()[0], self.said
        return found()[0]

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def stop(self) -> int:
        """SIGTERM to the process that was started; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP)

    def port(self) -> int:
        """Where it listens; some hosts say that they are ready a little before they are."""
        until = time.monotonic() + START
        while time.monotonic() < until and self.process.poll() is None:
            if (port := self._port()) is not None:
                return port
            with self._changed:
                self._changed.wait(0.02)
        raise AssertionError(f"it does not listen:\n{self.said}")

    def _port(self) -> int | None:
        """The port of the process, or of a worker of it, as the kernel knows it."""
        inodes = set()
        for pid in (self.process.pid, *_children(self.process.pid)):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    inodes.add(os.readlink(entry))
        for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in inodes:
                return int(fields[1].rpartition(":")[2], 16)
        return None


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text("utf-8").split()
    ]


@contextmanager
def hosting(command: Sequence[str], *, ready: str, **environment: str) -> Iterator[Hosting]:
    """`python -m …`, once it says that it is ready; killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Hosting(process)
    reader = threading.Thread(target=running.read, name="output")
    reader.start()
    try:
        running.wait_for(ready)
        yield running
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # it leads its own group: workers go with it
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()
        sys.stdout.write(f"the host said:\n{running.said}\n")


def host(running: Hosting, can: frozenset[Can], prefix: str = "") -> Host:
    """What the contract needs of it."""
    return Host(f"http://127.0.0.1:{running.port()}{prefix}", can)
