"""The conformance app as a process on a free port, for as long as a suite runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 10.0
"""Seconds to stop in."""
_LISTENING = re.compile(r"Listening on (http\S+)")


@contextmanager
def serving() -> Iterator[str]:
    """`anywire serve conformance.app:app`; its URL, as `http://127.0.0.1:40123`.

    Raises RuntimeError when it ends before it listens; stderr has its reason.
    """
    command = (sys.executable, "-m", "anywire", "serve", "conformance.app:app", "--port", "0")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            found = None
            while found is None:
                line = server.stdout.readline()
                if not line:
                    raise RuntimeError("the conformance app did not start")
                found = _LISTENING.search(line)
            yield found[1]
        finally:
            server.terminate()
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
