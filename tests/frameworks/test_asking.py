"""What `authenticate` may ask for: the hello, and the connection of the framework around it."""

import functools
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import litestar
import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import asgi
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.routing import Mount
from starlette.websockets import WebSocket

from anywire import Anywire, ConfigurationError, Hello, Member, Refused, User
from anywire.client import connect
from anywire.frameworks.asking import as_request, asking, asks_for_more, scope_from
from anywire.servers.guest import Asgi
from anywire.servers.tcp import Server
from tests.servers.asgihost import Line, http, websocket

HELLO = Hello(
    path="/raw/who",
    query={"key": "a&b", "name": "wörld"},
    headers={"host": "test", "cookie": "name=ana", "x-name": "ana"},
    cookies={"name": "ana"},
    remote="192.0.2.1",
)
BY_COOKIE = {"headers": [(b"host", b"test"), (b"cookie", b"name=ana")]}


class SiteRequest(Request):
    """A request of a site that has its own."""


async def by_hello(hello: Hello) -> User:
    return User(hello.cookies["name"])


async def by_connection(connection: HTTPConnection) -> User:
    return User(connection.cookies["name"])


def by_request(request: Request) -> User:
    return User(request.cookies["name"], {"method": request.method, "scheme": request.url.scheme})


def by_a_request_of_its_own(request: SiteRequest) -> User:
    assert isinstance(request, SiteRequest)
    return User(request.cookies["name"])


async def by_both(connection: HTTPConnection, hello: Hello) -> User:
    assert connection.url.path.endswith(hello.path)
    return User(hello.cookies["name"])


async def by_litestars_connection(
    connection: ASGIConnection,  # type: ignore[type-arg]
) -> User:
    return User(connection.cookies["name"])


async def by_litestars_own_kind(connection: ASGIConnection[Any, Any, Any, State]) -> User:
    return User(connection.cookies["name"])


def by_litestars_request(request: litestar.Request[Any, Any, State]) -> User:
    return User(request.cookies["name"], {"method": request.method})


class Asked:
    """An object that is asked."""

    async def __call__(self, connection: HTTPConnection) -> User:
        return User(connection.cookies["name"])


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    by_hello,
    by_connection,
    by_request,
    by_a_request_of_its_own,
    by_both,
    by_litestars_connection,
    by_litestars_own_kind,
    by_litestars_request,
    Asked(),
)
EVERY = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: getattr(one, "__name__", ""))


def app_of(function: Callable[..., Any] | None) -> Anywire:
    """An app that tells each member of `who` its own name at once."""
    app = Anywire()
    who = app.channel("who")
    if function is not None:
        app.authenticate(function)

    @who.join
    async def join(member: Member) -> str:
        await member.send("message", member.user.id)
        return member.user.id

    return app


async def heard(site: Asgi, path: str, **more: Any) -> str:
    """What a raw client hears first at this path of the site."""
    line = Line(site, websocket(path, **{**BY_COOKIE, **more}))
    line.tell("websocket.connect")
    try:
        assert (await line.next())["type"] == "websocket.accept"
        text: str = (await line.next(2))["text"]
    finally:
        line.tell("websocket.disconnect", code=1000)
        await line.ended()
    return text


# --- who asks for what ----------------------------------------------------------------------------


@EVERY
async def test_a_hello_is_enough_for_every_function(function: Callable[..., Any]) -> None:
    app = app_of(function)
    async with app.lifespan():
        assert (await app.node.authenticated(HELLO)).id == "ana"


@EVERY
async def test_on_our_own_server_the_connection_is_made_from_the_hello(
    function: Callable[..., Any],
) -> None:
    app = app_of(function)
    async with app.lifespan():
        server = Server(node=app.node, wires=app.wires, port=0, hosting=app.hosting)
        await server.start()
        try:
            url = server.addresses[0].url.replace("http", "ws")
            async with connect(f"{url}/ws", headers={"Cookie": "name=ana"}) as client:
                assert await client.channel("who").join() == "ana"
        finally:
            await server.stop()


@EVERY
async def test_in_a_framework_the_connection_is_the_hosts(function: Callable[..., Any]) -> None:
    app = app_of(function)
    async with app.lifespan():
        assert await heard(Starlette(routes=[Mount("/rt", app=app)]), "/rt/raw/who") == "ana"


async def test_what_starlettes_middleware_found_is_on_the_connection() -> None:
    async def who(connection: HTTPConnection) -> User:
        return User(connection.state.name, {"site": connection.app is site})

    def middleware(inner: Asgi) -> Asgi:
        async def named(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("state", {})["name"] = "bo"
            await inner(scope, receive, send)

        return named

    app = app_of(who)
    site = Starlette(routes=[Mount("/rt", app=app)])
    async with app.lifespan():
        assert await heard(middleware(site), "/rt/raw/who") == "bo"


async def test_what_litestars_middleware_found_is_on_the_connection() -> None:
    async def who(connection: ASGIConnection[Any, str, Any, State]) -> User:
        assert connection.app is site
        return User(connection.user)

    def middleware(app: Any) -> Any:
        async def named(scope: Any, receive: Any, send: Any) -> None:
            scope["user"] = "bo"
            await app(scope, receive, send)

        return named

    app = app_of(who)
    mounted = asgi("/rt", is_mount=True, copy_scope=True)(app.__call__)
    site = Litestar([mounted], middleware=[middleware])
    async with app.lifespan():
        assert await heard(site, "/rt/raw/who") == "bo"  # type: ignore[arg-type]


async def test_no_connection_is_kept_when_it_is_over() -> None:
    asked: list[Hello] = []

    async def who(hello: Hello, connection: HTTPConnection) -> User:
        assert app._scope_of(hello) is connection.scope
        asked.append(hello)
        return User("ana")

    app = app_of(who)
    async with app.lifespan():
        await heard(app, "/raw/who")
        assert app._scope_of(asked[0]) is None


async def test_a_refusal_is_the_functions_own() -> None:
    async def who(connection: HTTPConnection) -> User:
        raise Refused("unknown", "say who you are")

    app = app_of(who)
    async with app.lifespan():
        with pytest.raises(Refused, match="unknown: say who you are"):
            await app.node.authenticated(HELLO)


async def test_a_function_without_annotations_gets_the_hello() -> None:
    @functools.cache
    def seen(hello: Any) -> User:
        return User("ana")

    def anything(*args: Any, **more: Any) -> User:
        assert more == {}
        return User(args[0].cookies["name"])

    functions: tuple[Any, ...] = (
        lambda hello: User(hello.cookies["name"]),
        lambda hello, salt="x": User(hello.cookies["name"]),
        functools.partial(lambda salt, hello: User(hello.cookies["name"]), "x"),
        anything,
    )
    for function in functions:
        assert not asks_for_more(function)
        app = app_of(function)
        async with app.lifespan():
            assert (await app.node.authenticated(HELLO)).id == "ana"


async def test_a_hello_may_be_asked_for_by_keyword() -> None:
    def who(*, hello: Hello) -> User:
        return User(hello.cookies["name"])

    app = app_of(who)
    async with app.lifespan():
        assert (await app.node.authenticated(HELLO)).id == "ana"


async def test_classes_of_the_function_around_are_known() -> None:
    class Local(HTTPConnection):
        """Known here alone."""

    def who(connection: "Local") -> User:
        assert isinstance(connection, Local)
        return User(connection.cookies["name"])

    app = app_of(who)
    async with app.lifespan():
        assert (await app.node.authenticated(HELLO)).id == "ana"


# --- what nobody can fill -------------------------------------------------------------------------


def test_a_parameter_that_nobody_fills_is_found_at_decoration() -> None:
    def second(hello: Hello, name: str) -> None: ...
    def first(name: str) -> None: ...
    def unannotated(hello: Hello, name) -> None: ...  # type: ignore[no-untyped-def]
    def by_keyword(hello: Hello, *, name: str) -> None: ...
    def described(hello: Hello, name: dict[str, str]) -> None: ...

    for function in (second, first, unannotated, by_keyword, described):
        message = rf'{function.__name__}\(\) must take one argument, the Hello: "name" may be'
        with pytest.raises(ConfigurationError, match=message):
            Anywire().authenticate(function)


def test_a_websocket_is_nothing_to_ask_for() -> None:
    def starlettes(socket: WebSocket) -> None: ...
    def litestars(socket: litestar.WebSocket[Any, Any, State]) -> None: ...

    for function in (starlettes, litestars):
        with pytest.raises(ConfigurationError, match='"socket" may be a connection'):
            Anywire().authenticate(function)


def test_an_annotation_that_nobody_knows_is_found_at_decoration() -> None:
    def first(name: "CurrentUsr") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def second(hello: Hello, name: "CurrentUsr") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for function in (first, second):
        with pytest.raises(ConfigurationError, match=r"`name`.*unknown annotation.*CurrentUsr"):
            Anywire().authenticate(function)


def test_nothing_at_all_is_too_little() -> None:
    with pytest.raises(ConfigurationError, match=r"none\(\) must take one argument, the Hello"):

        @Anywire().authenticate
        def none() -> None: ...


def test_a_function_that_was_refused_is_not_the_apps() -> None:
    app = Anywire()
    with pytest.raises(ConfigurationError):
        app.authenticate(lambda hello, name: None)
    app.authenticate(by_hello)


def test_what_only_fastapi_knows_needs_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    async def who(name: Annotated[str, "of the site"]) -> User:
        return User(name)

    monkeypatch.delitem(sys.modules, "fastapi", raising=False)
    with pytest.raises(ConfigurationError, match=r"who\(\) asks for name, which only FastAPI"):
        asking(who, lambda hello: None)


# --- scopes ---------------------------------------------------------------------------------------


def test_a_scope_from_a_hello_says_what_the_hello_does() -> None:
    request = Request(scope_from(HELLO))
    assert dict(request.headers) == HELLO.headers
    assert dict(request.query_params) == HELLO.query
    assert request.cookies == HELLO.cookies
    assert (request.method, request.url.path) == ("GET", "/raw/who")
    assert request.client is not None
    assert request.client.host == "192.0.2.1"
    request.state.name = "kept"
    assert request.state.name == "kept"
    assert Request(scope_from(Hello())).client is None


def test_the_scope_of_a_websocket_is_that_of_its_request() -> None:
    for scheme, expected in (("ws", "http"), ("wss", "https")):
        scope = websocket("/raw/who", scheme=scheme)
        request = Request(as_request(scope))
        assert (request.method, request.url.scheme) == ("GET", expected)
        assert scope["type"] == "websocket"
    scope = http("/poll", method="POST")
    assert as_request(scope) is scope


async def test_the_connection_is_asked_for_in_turn() -> None:
    asked: Callable[[Hello], Awaitable[Any]] = asking(
        by_request, lambda hello: websocket("/", **BY_COOKIE, scheme="wss")
    )
    assert await asked(Hello()) == User("ana", {"method": "GET", "scheme": "https"})


# --- imports --------------------------------------------------------------------------------------


def test_no_framework_is_imported_unless_the_application_does() -> None:
    code = (
        "import sys, anywire\n"
        "app = anywire.Anywire()\n"
        "@app.authenticate\n"
        "def who(hello: anywire.Hello): ...\n"
        "for name in 'fastapi', 'starlette', 'litestar', 'django', 'asgiref', 'pydantic':\n"
        "    assert name not in sys.modules, name\n"
        "try:\n"
        "    anywire.Anywire().authenticate(lambda hello, request: None)\n"
        "except anywire.ConfigurationError as error:\n"
        "    print(error)\n"
        "assert 'fastapi' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=15)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert '"request" may be a connection' in ended.stdout
