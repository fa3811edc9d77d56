"""Tests of anywire.brokers.choice."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anywire.brokers import choice
from anywire.brokers.choice import HUB, choose, is_worker
from anywire.brokers.local import Folder, LocalBroker
from anywire.brokers.memory import MemoryBroker
from anywire.errors import ConfigurationError


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where folders are made: a socket's path is short."""
    with tempfile.TemporaryDirectory() as made:
        monkeypatch.setenv("XDG_RUNTIME_DIR", made)
        monkeypatch.delenv(HUB, raising=False)
        yield Path(made)


def folder_of(broker: object, shape: str = "app") -> Path | None:
    backend, folder = choose(broker, shape=shape)
    assert isinstance(backend, MemoryBroker if folder is None else LocalBroker)
    return None if folder is None else folder.path


def test_alone_an_app_has_the_memory_broker() -> None:
    assert folder_of(None) is None
    assert folder_of("memory") is None


def test_the_clock_is_passed_on() -> None:
    backend, _ = choose("memory", shape="app", clock=lambda: 42.0)
    assert backend._clock() == 42.0


def test_workers_of_one_parent_and_app_meet_where_no_other_app_does(place: Path) -> None:
    path = folder_of("local")
    assert path is not None
    assert path.parent == place / "anywire"
    assert folder_of("local") == path
    assert folder_of("local", "another app") != path


def test_a_folder_can_be_named(place: Path) -> None:
    for broker in (f"local:{place}/f", f"local://{place}/f"):
        assert folder_of(broker) == place / "f"


def test_a_supervisor_says_where_its_workers_meet(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HUB, str(place / "hub"))
    assert folder_of(None) == place / "hub"
    assert folder_of("local") == place / "hub"
    assert folder_of(f"local:{place}/f") == place / "f"
    assert folder_of("memory") is None


def test_a_backend_of_ones_own_is_taken_as_it_is(place: Path) -> None:
    own = MemoryBroker()
    assert choose(own, shape="app") == (own, None)
    local = LocalBroker(place / "f")
    assert choose(local, shape="app") == (local, local.folder)  # so that it has doors


@pytest.mark.parametrize("broker", ["redis", "", "local:", "memory:x"])
def test_a_broker_that_nobody_knows_is_a_mistake(broker: str) -> None:
    with pytest.raises(ConfigurationError, match="known: memory, local, local:FOLDER"):
        choose(broker, shape="app")


def test_a_folder_that_cannot_be_is_a_mistake(place: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        choose(f"local:{place}/{'x' * 120}", shape="app")


# --- who is a worker ------------------------------------------------------------------------------


def tell(pipe: Any) -> None:
    """What a worker sees of itself."""
    pipe.send((is_worker(), folder_of(None)))
    pipe.close()


def test_spawned_workers_meet() -> None:
    """As those of uvicorn, hypercorn and granian."""
    context = multiprocessing.get_context("spawn")
    told = []
    for _ in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=tell, args=(theirs,))
        process.start()
        theirs.close()
        assert ours.poll(15)
        told.append(ours.recv())
        ours.close()
        process.join()
        process.close()
    assert told[0] == told[1]
    assert told[0][0]
    assert told[0][1] is not None


FORKING = """
import os
from anywire.brokers.choice import choose, is_worker
print(is_worker(), flush=True)
for _ in range(2):
    if not (pid := os.fork()):
        print(is_worker(), choose(None, shape="app")[1].path, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_forked_workers_meet() -> None:
    """As gunicorn's: children that run what their parent runs."""
    ran = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, check=True, timeout=15
    )
    parent, one, two = ran.stdout.decode().splitlines()
    assert parent == "False"
    assert one == two
    assert one.startswith("True /")


def test_a_program_that_another_one_started_is_no_worker() -> None:
    assert not is_worker()
    code = "from anywire.brokers.choice import is_worker; print(is_worker())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=15)
    assert ran.stdout == b"False\n"


def test_where_nobody_can_tell_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", closed)
    monkeypatch.setattr(Path, "read_text", closed)
    assert not is_worker()
    assert choice._began(os.getpid()) == ""


def test_a_process_id_that_comes_again_is_another_family(monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder_of("local")
    monkeypatch.setattr(choice, "_began", lambda process: "later")
    assert folder_of("local") != before


def test_when_a_process_began_is_read_past_whatever_its_name_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = " ".join(str(number) for number in range(4, 53))
    monkeypatch.setattr(Path, "read_text", lambda self: f"7 (a) b (c) S {numbers}")
    assert choice._began(7) == "22"


def test_a_folder_is_a_folder(place: Path) -> None:
    _, folder = choose(f"local:{place}/f", shape="app")
    assert isinstance(folder, Folder)
    assert len(folder.key) == 32


def test_a_process_of_gunicorn_is_a_worker_whatever_its_title(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/23.0.0")
    assert is_worker()
