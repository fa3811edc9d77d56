"""Asking: an `authenticate` function that wants what its framework knows beside the `Hello`.

A parameter of the framework's connection class (Starlette's `HTTPConnection` or `Request`,
Litestar's `ASGIConnection`) is made from what the host says; everything else is FastAPI's
`Depends` and its like, and solved by FastAPI.
"""

import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Annotated, Any, get_origin
from urllib.parse import quote, urlencode

from anywire.core.signature import EMPTY, Function
from anywire.errors import ConfigurationError
from anywire.servers.asgilink import Scope
from anywire.wires.base import Hello

_CONNECTIONS = (
    ("starlette.requests", "HTTPConnection"),
    ("litestar.connection", "ASGIConnection"),
)

ScopeOf = Callable[[Hello], Scope | None]
Solve = Callable[[Scope], AbstractAsyncContextManager[Mapping[str, Any]]]


def asks_for_more(function: Callable[..., Any]) -> bool:
    """Whether it wants anything else than a `Hello`, which may come without an annotation.

    Raises ConfigurationError when it wants nothing at all.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise ConfigurationError(f"{_name(function)}() must take one argument, the Hello")
    hint = _hints(function).get(parameters[0].name, Hello)
    if hint not in (Hello, Any, object) or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        return True
    return _is_given(parameters[0]) or any(
        (parameter.default is EMPTY and str(parameter)[0] != "*") or _is_given(parameter)
        for parameter in parameters[1:]
    )


def asking(function: Callable[..., Any], scope_of: ScopeOf) -> Callable[[Hello], Awaitable[Any]]:
    """The function as one of a `Hello` alone; `scope_of` says what the host said, if one did.

    Raises ConfigurationError for a parameter that nobody here can fill.
    """
    name = _name(function)
    hints = _hints(function)
    parameters = dict(inspect.signature(function).parameters)
    first = next(iter(parameters), None)
    hellos = [
        key for key in parameters if hints.get(key) is Hello or (key == first and key not in hints)
    ]
    others = [key for key in parameters if key not in hellos]
    connections = {key: hints[key] for key in others if _is_connection(hints.get(key))}
    rest = {
        key: parameters[key].replace(annotation=hints.get(key, parameters[key].annotation))
        for key in others
        if key not in connections
    }
    for key, parameter in rest.items():
        if get_origin(parameter.annotation) is not Annotated and not _is_given(parameter):
            raise ConfigurationError(
                f'{name}() must take one argument, the Hello: "{key}" may be a connection of '
                "Starlette or Litestar, or Annotated[…, Depends(…)] with FastAPI"
            )
    solve = _depends(name, rest) if rest else None

    async def authenticate(hello: Hello) -> Any:
        scope = scope_of(hello) or scope_from(hello)
        values: dict[str, Any] = dict.fromkeys(hellos, hello)
        for key, kind in connections.items():
            values[key] = kind(as_request(scope) if _wants_request(kind) else scope)
        async with nullcontext({}) if solve is None else solve(scope) as given:
            user = function(**values, **given)
            return await user if inspect.isawaitable(user) else user

    return authenticate


def scope_from(hello: Hello) -> Scope:
    """What an ASGI host would have said, from a hello: for an app that our own server serves."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": hello.method,
        "scheme": "http",
        "path": hello.path,
        "raw_path": quote(hello.path).encode(),
        "root_path": "",
        "query_string": urlencode(hello.query).encode(),
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in hello.headers.items()
        ],
        "client": (hello.remote, 0) if hello.remote else None,
        "server": None,
        "state": {},
    }


def as_request(scope: Scope) -> Scope:
    """The scope of a WebSocket as that of the request that it began with."""
    if scope["type"] == "http":
        return scope
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    return {**scope, "type": "http", "method": "GET", "scheme": scheme}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    found = Function(function).parameters
    return {each.name: each.annotation for each in found if each.annotation is not EMPTY}


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "authenticate")


def _is_given(parameter: inspect.Parameter) -> bool:
    """Whether its default is FastAPI's to fill: `= Depends(…)`."""
    return type(parameter.default).__module__.startswith("fastapi.")


def _is_connection(kind: Any) -> bool:
    kind = get_origin(kind) or kind
    if not isinstance(kind, type) or kind.__name__ == "WebSocket":  # a hello may be a poll's
        return False
    bases = [getattr(sys.modules.get(module), name, None) for module, name in _CONNECTIONS]
    return any(base is not None and issubclass(kind, base) for base in bases)


def _wants_request(kind: Any) -> bool:
    return any(base.__name__ == "Request" for base in (get_origin(kind) or kind).__mro__)


def _depends(name: str, parameters: Mapping[str, inspect.Parameter]) -> Solve:
    if "fastapi" not in sys.modules:
        keys = ", ".join(parameters)
        raise ConfigurationError(
            f"{name}() asks for {keys}, which only FastAPI knows; it is not here"
        )
    from anywire.frameworks.fastapi import solver

    return solver(name, list(parameters.values()))
