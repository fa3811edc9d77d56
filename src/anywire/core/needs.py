"""Needs: what a handler depends on, made before it runs and closed after it, once per message.

A dependency is a plain or async function (its value is the need) or a generator of either kind
(what it yields is the need; the rest runs after the handler, with the handler's exception thrown
in). FastAPI's `Depends` objects are read by their attribute `dependency`.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

from anywire.core.signature import EMPTY, Function, Getter, Lookup, Parameter, Source


class Needs:
    """Marks a parameter that a function of the application fills: `db: Annotated[Session,
    Needs(get_session)]`.
    """

    __slots__ = ("dependency",)

    def __init__(self, dependency: Callable[..., object]) -> None:
        self.dependency = dependency


class _Mode(Enum):
    VALUE = 0
    GENERATOR = 1
    ASYNC_GENERATOR = 2


@dataclass(slots=True, frozen=True)
class _Step:
    """One dependency: how it is made, from the scope (getters) and from earlier steps (their
    numbers).
    """

    make: Callable[..., Any]
    mode: _Mode
    args: Sequence[Getter | int]
    kwargs: Sequence[tuple[str, Getter | int]]


class Plan:
    """All dependencies of one handler, in the order in which they are made."""

    __slots__ = ("_lookup", "_made", "_steps")

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._steps: list[_Step] = []
        self._made: dict[object, int] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, function: Function, parameter: Parameter) -> int | None:
        """The number of the step that fills this parameter; None for one that says no need."""
        return self._add(function, parameter, ())

    async def run(self, stack: AsyncExitStack, scope: Source) -> list[object]:
        """Make them all; what has an end is left on the stack."""
        made: list[Any] = []

        def one(source: Getter | int) -> Any:
            return made[source] if isinstance(source, int) else source(scope)

        for step in self._steps:
            args = map(one, step.args)
            value = step.make(*args, **{name: one(source) for name, source in step.kwargs})
            if step.mode is _Mode.ASYNC_GENERATOR:
                value = await stack.enter_async_context(value)
            elif step.mode is _Mode.GENERATOR:
                value = stack.enter_context(value)
            elif inspect.isawaitable(value):
                value = await value
            made.append(value)
        return made

    def _add(
        self, function: Function, parameter: Parameter, chain: tuple[object, ...]
    ) -> int | None:
        mark = _mark(parameter)
        if mark is None:
            return None
        call = parameter.plain if mark.dependency is None else mark.dependency
        if not callable(call):
            raise function.wrong(parameter.name, f"needs {call!r:.40}, which is no function")
        if call in chain:
            raise function.wrong(parameter.name, "needs what needs it")
        key = call if getattr(mark, "use_cache", True) else object()
        if key not in self._made:
            step = self._step(Function(call), (*chain, call))
            self._made[key] = len(self._steps)
            self._steps.append(step)
        return self._made[key]

    def _step(self, function: Function, chain: tuple[object, ...]) -> _Step:
        args: list[Getter | int] = []
        kwargs: list[tuple[str, Getter | int]] = []
        for parameter in function.parameters:
            if parameter.is_catch_all:
                continue
            source = self._source(function, parameter, chain)
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(source)
            else:
                kwargs.append((parameter.name, source))
        if function.is_kind(inspect.isasyncgenfunction):
            return _Step(asynccontextmanager(function.call), _Mode.ASYNC_GENERATOR, args, kwargs)
        if function.is_kind(inspect.isgeneratorfunction):
            return _Step(contextmanager(function.call), _Mode.GENERATOR, args, kwargs)
        return _Step(function.call, _Mode.VALUE, args, kwargs)

    def _source(
        self, function: Function, parameter: Parameter, chain: tuple[object, ...]
    ) -> Getter | int:
        number = self._add(function, parameter, chain)
        if number is not None:
            return number
        getter = self._lookup.getter(function, parameter)
        if getter is not None:
            return getter
        if parameter.default is EMPTY:
            known = f"{self._lookup.known()}, a part of the address, or another need"
            raise function.wrong(parameter.name, f"of a need cannot be filled; it may be {known}")
        return lambda scope: parameter.default


def _mark(parameter: Parameter) -> Any:
    """The `Needs` or `Depends` of a parameter, in its annotation or as its default."""
    if get_origin(parameter.annotation) is Annotated:
        for mark in get_args(parameter.annotation)[1:]:
            if hasattr(mark, "dependency"):
                return mark
    return parameter.default if hasattr(parameter.default, "dependency") else None
