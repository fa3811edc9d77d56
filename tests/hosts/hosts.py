"""Every host that the contract runs on: how it is started, and what it can do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.contracts.host import Can, Host
from tests.hosts.running import Hosting, host, hosting

ALL = frozenset(Can)


@dataclass(frozen=True, slots=True)
class Spec:
    """One host. `ready`: what it says once it listens; `prefix`: where the app is mounted."""

    title: str
    command: tuple[str, ...]
    ready: str
    can: frozenset[Can]
    prefix: str = ""

    @contextmanager
    def running(self) -> Iterator[tuple[Hosting, Host]]:
        """The process, and the host for the contract."""
        with hosting(self.command, ready=self.ready) as process:
            yield process, host(process, self.can, self.prefix)


def uvicorn(title: str, app: str, *options: str, prefix: str = "") -> Spec:
    """An app under uvicorn, in one process."""
    command = ("uvicorn", app, "--port", "0", *options)
    return Spec(title, command, "Uvicorn running on", ALL - {Can.PINGS}, prefix)


APP = "tests.hosts.app:app"
STANDALONE = Spec("anywire serve", ("anywire", "serve", APP, "--port", "0"), "Listening on", ALL)
UVICORN = uvicorn("uvicorn", APP)
HYPERCORN = Spec(
    "hypercorn",
    ("hypercorn", APP, "--bind", "127.0.0.1:0"),
    "Running on",
    ALL - {Can.PINGS, Can.CODE, Can.REASON, Can.FAREWELL},
)
GRANIAN = Spec(
    "granian",
    ("granian", "--interface", "asgi", APP, "--port", "0"),
    "Started worker-1",
    ALL - {Can.PINGS, Can.DEFLATE, Can.REASON, Can.FAREWELL},
)
FASTAPI = uvicorn("FastAPI", "tests.hosts.mounted:fastapi", prefix="/rt")
STARLETTE = uvicorn("Starlette", "tests.hosts.mounted:starlette", prefix="/deep/rt")
LITESTAR = uvicorn("Litestar", "tests.hosts.mounted:litestar", prefix="/rt")
DJANGO = uvicorn("Django", "tests.hosts.mounted:django_site")
