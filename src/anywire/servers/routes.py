"""Routes: which wire owns a request's path.

Exact paths, and patterns whose parts vary (`Route`); everything else is not ours. Pure.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from anywire.errors import ConfigurationError
from anywire.payload import Carrier
from anywire.wires.base import NOTHING, Route, Wire

ANY = "*"
"""The method of a route for all that no other route of its path takes."""
_VARYING = re.compile(r"\{([a-z_]+)\}")
_VALUE = r"([^\x00-\x1f\x7f-\x9f/]+)"
"""What a part that varies may hold: something, and no control character."""
_Owners = dict[tuple[str, bool], "Found"]
"""By method, and whether it asks for a WebSocket."""


class Found(msgspec.Struct, frozen=True):
    """The owner of a request."""

    wire: Wire
    route: Route
    parts: Mapping[str, str] = NOTHING

    @property
    def address(self) -> str | None:
        """What stands at `{address}`."""
        return self.parts.get("address")


class _Pattern(msgspec.Struct):
    """One path whose parts vary."""

    path: str
    match: "re.Pattern[str]"
    names: tuple[str, ...]
    owners: _Owners


class Row(msgspec.Struct, frozen=True, order=True):
    """One line of `anywire routes`."""

    path: str
    method: str
    owner: str
    """A wire's name, or what the server itself serves there."""
    carrier: str


class Routes:
    """The paths of all wires, and of what the server serves itself (`reserved`: path to its name).

    Raises:
        ConfigurationError: two want one path, or a path cannot be one.
    """

    __slots__ = ("_exact", "_patterns", "_reserved")

    def __init__(self, wires: Sequence[Wire], reserved: Mapping[str, str] | None = None) -> None:
        self._reserved = dict(reserved or {})
        self._exact: dict[str, _Owners] = {}
        self._patterns: dict[int, list[_Pattern]] = {}  # by number of slashes
        for wire in wires:
            for route in wire.routes():
                self._add(wire, route)

    def find(self, method: str, path: str, *, is_upgrade: bool = False) -> Found | None:
        """The owner of this method at this path (percent-decoded); None: nobody here.

        `is_upgrade`: it asks for a WebSocket; where that is not told apart, it does not matter.
        """
        owners, parts = self._at(path)
        found = (
            owners.get((method, is_upgrade))
            or owners.get((method, not is_upgrade))
            or owners.get((ANY, False))
        )
        if found is None or not parts:
            return found
        return Found(found.wire, found.route, parts)

    def methods(self, path: str) -> Sequence[Found]:
        """Every owner of a path, one a method; empty: it is not ours."""
        return list(self._at(path)[0].values())

    def rows(self) -> list[Row]:
        """Every path and who owns it, sorted by path."""
        rows = [Row(path, "GET", owner, "reply") for path, owner in self._reserved.items()]
        for found in self._found():
            route = found.route
            rows.append(Row(route.path, route.method, found.wire.name, route.carrier.value))
        return sorted(rows)

    def _at(self, path: str) -> tuple[_Owners, Mapping[str, str]]:
        """Who owns a path, and what stands in its parts."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, NOTHING
        for pattern in self._patterns.get(path.count("/"), ()):
            found = pattern.match.fullmatch(path)
            if found is not None:
                return pattern.owners, dict(zip(pattern.names, found.groups(), strict=True))
        return {}, NOTHING

    def _add(self, wire: Wire, route: Route) -> None:
        path = route.path
        fixed = _VARYING.sub("", path)
        names = tuple(_VARYING.findall(path))
        if not path.startswith("/") or _is_wrong(path, fixed) or len(set(names)) < len(names):
            raise ConfigurationError(
                f'{wire.name}: "{path}" cannot be a path; right: "/chat", or "/chat/{{address}}"'
            )
        if path in self._reserved:
            raise ConfigurationError(
                f'"{wire.name}" wants {path}, where the server has its {self._reserved[path]}; '
                "give the wire another path"
            )
        owners = self._pattern(path, names).owners if names else self._exact.setdefault(path, {})
        key = (route.method, route.carrier is Carrier.WEBSOCKET)
        if key in owners:
            raise ConfigurationError(
                f'"{owners[key].wire.name}" and "{wire.name}" both want '
                f"{route.method} {path}; give one of them another path"
            )
        owners[key] = Found(wire, route)

    def _pattern(self, path: str, names: tuple[str, ...]) -> _Pattern:
        patterns = self._patterns.setdefault(path.count("/"), [])
        match = re.compile(_VALUE.join(map(re.escape, _VARYING.split(path)[::2])))
        for known in patterns:
            if known.match == match and known.names == names:
                return known
            if known.match == match:
                raise ConfigurationError(f"{path} and {known.path} are the same path; choose one")
        pattern = _Pattern(path, match, names, {})
        # Where two fit, the one that says more of the path does: it comes first.
        patterns.append(pattern)
        patterns.sort(key=lambda each: len(_VARYING.sub("", each.path)), reverse=True)
        return pattern

    def _found(self) -> Iterable[Found]:
        for owners in self._exact.values():
            yield from owners.values()
        for patterns in self._patterns.values():
            for pattern in patterns:
                yield from pattern.owners.values()


def _is_wrong(path: str, fixed: str) -> bool:
    """Whether there is a character that no path has here, or two parts cannot be told apart."""
    return "}{" in path or re.search(r"[\x00-\x20?#{}\x7f]", fixed) is not None
