"""Presence as a client sees it: who is here, as metas by key, kept up to date by joins and
leaves.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anywire.client.tasks import Handler, Listeners, Tasks
from anywire.frames import Presence

Metas = Mapping[str, Sequence[Any]]
_CHANGE = "change"


class People(Mapping[str, Sequence[Any]]):
    """Metas by key; a mapping that the server changes."""

    __slots__ = ("_listeners", "_metas")

    def __init__(self, tasks: Tasks) -> None:
        self._metas: dict[str, list[Any]] = {}
        self._listeners = Listeners(tasks, "presence", names=(_CHANGE,))

    def __getitem__(self, key: str) -> Sequence[Any]:
        return self._metas[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metas)

    def __len__(self) -> int:
        return len(self._metas)

    def __repr__(self) -> str:
        return f"People({self._metas!r})"

    def on_change(self, handler: Handler) -> Handler:
        """Call `handler(people, joined, left)` at each change; also a decorator."""
        return self._listeners.on(_CHANGE, handler)

    def off_change(self, handler: Handler) -> None:
        """Call it no more."""
        self._listeners.off(_CHANGE, handler)

    def apply(self, change: Presence) -> None:
        """Take in what the server says. Those who leave go first: a change of a meta is both."""
        before = self._metas
        joined: Metas = change.joined
        left: Metas = change.left
        if change.whole:
            now = {key: list(metas) for key, metas in joined.items() if metas}
            joined, left = _difference(now, before), _difference(before, now)
        else:
            now = dict(before)
            for key, metas in left.items():
                now[key] = _without(now.get(key, ()), metas)
            for key, metas in joined.items():
                now[key] = [*now.get(key, ()), *metas]
            now = {key: metas for key, metas in now.items() if metas}
        self._metas = now
        if joined or left:
            self._listeners.tell(_CHANGE, self, joined, left)


def _without(metas: Sequence[Any], gone: Sequence[Any]) -> list[Any]:
    """The list less one equal meta for each that went; equal ones cannot be told apart."""
    rest = list(metas)
    for meta in gone:
        if meta in rest:
            rest.remove(meta)
    return rest


def _difference(all: Mapping[str, list[Any]], less: Mapping[str, list[Any]]) -> Metas:
    found = {key: _without(metas, less.get(key, ())) for key, metas in all.items()}
    return {key: metas for key, metas in found.items() if metas}
