"""FastAPI's dependencies for `authenticate`: `Depends`, `Security`, `Header`, `Cookie`, `Query`.

They are solved by FastAPI itself, over the request that the WebSocket began with, so that those
written for HTTP (`OAuth2PasswordBearer`, `request: Request`) are understood as they are.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import HTTPException, Request, WebSocketException
from fastapi.dependencies.utils import get_dependant, solve_dependencies

from anywire.errors import ConfigurationError, Refused
from anywire.frameworks.asking import as_request
from anywire.servers.asgilink import Scope

CODES = {401: "unauthenticated", 403: "forbidden"}


def solver(
    name: str, parameters: Sequence[inspect.Parameter]
) -> Callable[[Scope], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Values of these parameters for a connection.

    Solving raises Refused where anything raises HTTPException, or input is not as declared.
    Generators end once the function has answered. Raises ConfigurationError for what FastAPI cannot
    give.
    """

    def wanted(**values: Any) -> None: ...

    by_name = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    wanted.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    try:
        dependant = get_dependant(path="/", call=wanted)
    except Exception as error:
        raise ConfigurationError(f"{name}(): FastAPI cannot give that: {error}") from error

    @asynccontextmanager
    async def solve(scope: Scope) -> AsyncIterator[Mapping[str, Any]]:
        try:
            async with AsyncExitStack() as stack:
                scope = {
                    **as_request(scope),
                    "fastapi_inner_astack": stack,
                    "fastapi_function_astack": stack,
                }
                site = scope.get("app")  # of Starlette or Litestar, it has no overrides
                overrides = site if hasattr(site, "dependency_overrides") else None
                solved = await solve_dependencies(
                    request=Request(scope),
                    dependant=dependant,
                    dependency_overrides_provider=overrides,
                    async_exit_stack=stack,
                    embed_body_fields=False,
                )
                if solved.errors:
                    where = ".".join(map(str, solved.errors[0]["loc"]))
                    raise Refused("invalid", f"{where}: {solved.errors[0]['msg']}")
                yield solved.values
        except HTTPException as error:
            code = CODES.get(error.status_code, "refused")
            raise Refused(code, str(error.detail)) from error
        except WebSocketException as error:
            raise Refused("refused", error.reason) from error

    return solve
