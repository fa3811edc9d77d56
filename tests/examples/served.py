"""Examples under uvicorn, as their first lines say."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.contracts.host import Can, Host
from tests.hosts.running import host, hosting


@contextmanager
def uvicorn(example: str, target: str) -> Iterator[Host]:
    """`uvicorn --app-dir examples/NAME TARGET`, on a free port."""
    command = ("uvicorn", "--app-dir", f"examples/{example}", target, "--port", "0")
    with hosting(command, ready="Uvicorn running on") as process:
        yield host(process, frozenset(Can))
