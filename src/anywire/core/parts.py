"""Parts: the parameters of one function, sorted by what fills them, and the call made of them."""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, get_args, get_origin

from anywire.body import Args
from anywire.core.conversion import Conversion, refused
from anywire.core.fields import REQUIRED, Field, Fields, Taken
from anywire.core.needs import Plan
from anywire.core.signature import EMPTY, Function, Getter, Lookup, Parameter, Source

_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
_VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_STREAMS = (AsyncIterator, AsyncIterable)


class Parts:
    """The parameters of one function, sorted by what fills them."""

    __slots__ = (
        "_given",
        "_lookup",
        "_sources",
        "free",
        "function",
        "keywords",
        "others",
        "plan",
        "rest",
        "streams",
    )

    def __init__(self, function: Function, lookup: Lookup) -> None:
        self.function = function
        self._lookup = lookup
        self.plan = Plan(lookup)
        self.free: list[Parameter] = []
        self.streams: list[Parameter] = []
        self.rest: Conversion | None = None
        self.others: Conversion | None = None
        self._given: list[Getter] = []
        self._sources: list[tuple[Parameter, str, int]] = []
        for parameter in function.parameters:
            self._sort(parameter)
        self.keywords = [each for each in function.parameters if each.kind is _KEYWORD_ONLY]

    def _sort(self, parameter: Parameter) -> None:
        if parameter.kind is _VAR_POSITIONAL:
            self.rest = self.function.conversion(parameter)
        elif parameter.kind is _VAR_KEYWORD:
            self.others = self.function.conversion(parameter)
        elif (number := self.plan.add(self.function, parameter)) is not None:
            self._sources.append((parameter, "need", number))
        elif (getter := self._lookup.getter(self.function, parameter)) is not None:
            self._give(parameter, getter)
        elif get_origin(parameter.plain) in _STREAMS or parameter.plain in _STREAMS:
            self.streams.append(parameter)
            self._give(parameter, self._upload(len(self.streams) - 1))
        else:
            self._sources.append((parameter, "field", 0))
            self.free.append(parameter)

    def _give(self, parameter: Parameter, getter: Getter) -> None:
        self._sources.append((parameter, "given", len(self._given)))
        self._given.append(getter)

    def _upload(self, index: int) -> Getter:
        def getter(scope: Source) -> object:
            if len(scope.uploads) != len(self.streams):
                names = ", ".join(each.name for each in self.streams)
                raise refused(
                    f"{len(scope.uploads)} streams where {len(self.streams)} fit: {names}"
                )
            return scope.uploads[index]

        return getter

    def fields(self, is_message: bool, nesting: int) -> Fields:
        """What the payload fills. Raises ConfigurationError where it cannot."""
        function = self.function
        conversions = [function.conversion(each) for each in self.free]
        is_lone = len(self.free) == 1 and self.rest is None and self.others is None
        for each, conversion in zip(self.free, conversions, strict=True):
            if is_message and not is_lone:
                raise function.wrong(
                    each.name, "is one of several, but a message is one whole value"
                )
            if conversion.is_whole_only and not is_lone:
                raise function.wrong(
                    each.name, "may be `str | bytes` only as the lone argument; take one of them"
                )
        for catch in (self.rest, self.others):
            if catch is not None and catch.is_whole_only:
                raise function.wrong(None, "cannot catch `str | bytes`; take `object`")
        free = {each.name for each in self.free}
        return Fields(
            [
                Field(
                    each.name,
                    conversion,
                    REQUIRED if each.default is EMPTY else each.default,
                    each.kind is _KEYWORD_ONLY,
                )
                for each, conversion in zip(self.free, conversions, strict=True)
            ],
            usage=_usage(function.name, self.free, self.rest, self.others),
            nesting=nesting,
            is_whole=is_lone and (is_message or conversions[0].takes_object),
            path=self._lookup.path,
            reserved=frozenset(each.name for each in function.parameters if not each.is_catch_all)
            - free,
            rest=self.rest,
            others=self.others,
        )

    def items(self, stream: Parameter, nesting: int) -> Fields:
        """How the items of an upload are read: each is one whole value."""
        try:
            conversion = Conversion(item_type(stream))
        except TypeError as error:
            raise self.function.wrong(
                stream.name, f"has items that no message can hold: {error}"
            ) from error
        return Fields(
            [Field(stream.name, conversion)], usage=stream.name, nesting=nesting, is_whole=True
        )

    def invoke(self, fields: Fields, *, is_stream: bool) -> Callable[[Source, Args], Any]:
        """The call of a message: one of the short ways where a signature allows, else the one that
        does all.
        """
        groups = [group for _, group, _ in self._sources]
        count = len(self._given)
        takes_more = self.rest is not None or self.others is not None
        if takes_more or self.keywords or len(self.plan) or "given" in groups[count:]:
            return self._general(fields, takes_more, is_stream)
        call, read = self.function.call, fields.read
        if count == 0:
            return lambda scope, args: call(*read(args, scope.path))
        if count == 1:
            one = self._given[0]
            return lambda scope, args: call(one(scope), *read(args, scope.path))
        given = self._given
        return lambda scope, args: call(*[get(scope) for get in given], *read(args, scope.path))

    def _general(
        self, fields: Fields, takes_more: bool, is_stream: bool
    ) -> Callable[[Source, Args], Any]:
        # The values of one call stand in a pool: fields, then what the scope gave, then needs.
        row = {field.name: index for index, field in enumerate(fields.fields)}
        base = {"given": len(row), "need": len(row) + len(self._given)}
        places = [
            (each, row[each.name] if group == "field" else base[group] + index)
            for each, group, index in self._sources
        ]
        positional = [place for each, place in places if each.kind is not _KEYWORD_ONLY]
        by_name = [(each.name, place) for each, place in places if each.kind is _KEYWORD_ONLY]
        function, given, plan = self.function.call, self._given, self.plan

        def take(scope: Source, args: Args) -> tuple[list[Any], Taken]:
            taken = (
                fields.read_all(args, scope.path)
                if takes_more
                else Taken(fields.read(args, scope.path))
            )
            return [*taken.row, *[get(scope) for get in given]], taken

        def call(pool: list[Any], taken: Taken) -> Any:
            named = {name: pool[place] for name, place in by_name}
            return function(
                *[pool[place] for place in positional], *taken.rest, **named, **taken.others
            )

        if not len(plan):
            return lambda scope, args: call(*take(scope, args))
        around = _stream_with if is_stream else _call_with

        def invoke(scope: Source, args: Args) -> Any:
            pool, taken = take(scope, args)  # what does not fit is refused before a need is made
            return around(plan, scope, pool, lambda: call(pool, taken))

        return invoke


async def _call_with(plan: Plan, scope: Source, pool: list[Any], call: Callable[[], Any]) -> Any:
    failure: BaseException
    async with AsyncExitStack() as stack:
        try:
            pool += await plan.run(stack, scope)
            result = call()
            return await result if inspect.isawaitable(result) else result
        except BaseException as error:
            failure = error
            raise
    raise failure  # a need may put another exception in its place, but not hide it


async def _stream_with(
    plan: Plan, scope: Source, pool: list[Any], call: Callable[[], Any]
) -> AsyncIterator[Any]:
    failure: BaseException
    async with AsyncExitStack() as stack:
        try:
            pool += await plan.run(stack, scope)
            async with aclosing(call()) as items:
                async for item in items:
                    yield item
            return
        except BaseException as error:
            failure = error
            raise
    raise failure


def item_type(stream: Parameter) -> Any:
    return (*get_args(stream.plain), object)[0]


def _usage(
    name: str, free: Sequence[Parameter], rest: Conversion | None, others: Conversion | None
) -> str:
    """The function as a client may see it: `ticks(symbol: str, every: float = ...)`."""
    shown = [
        each.name
        + ("" if each.annotation is EMPTY else f": {_shown(each.annotation)}")
        + ("" if each.default is EMPTY else " = ...")
        for each in free
    ]
    shown += ["*..."] if rest else []
    shown += ["**..."] if others else []
    return f"{name}({', '.join(shown)})"


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__name__
    return inspect.formatannotation(annotation)
