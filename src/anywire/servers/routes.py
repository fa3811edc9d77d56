"""Routes: which wire owns a request's path.

Exact paths only, `{address}` as the last part included; everything else is not ours. Pure.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from anywire.errors import ConfigurationError
from anywire.wires.base import Route, Wire

ADDRESS = "{address}"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f/]")


class Found(msgspec.Struct, frozen=True):
    """The owner of a request."""

    wire: Wire
    route: Route
    address: str | None = None


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

    __slots__ = ("_exact", "_open", "_reserved")

    def __init__(self, wires: Sequence[Wire], reserved: Mapping[str, str] | None = None) -> None:
        self._reserved = dict(reserved or {})
        self._exact: dict[str, dict[str, Found]] = {}
        self._open: dict[str, dict[str, Found]] = {}
        for wire in wires:
            for route in wire.routes():
                self._add(wire, route)

    def find(self, method: str, path: str) -> Found | None:
        """The owner of this method at this path (percent-decoded); None: nobody here."""
        found = self._exact.get(path)
        if found is not None:
            return found.get(method)
        address = self._address(path)
        owner = None if address is None else self._open[path[: -len(address)]].get(method)
        return None if owner is None else Found(owner.wire, owner.route, address)

    def methods(self, path: str) -> Sequence[Found]:
        """Every owner of a path, one a method; empty: it is not ours."""
        found = self._exact.get(path)
        if found is None:
            address = self._address(path)
            found = {} if address is None else self._open[path[: -len(address)]]
        return list(found.values())

    def rows(self) -> list[Row]:
        """Every path and who owns it, sorted by path."""
        rows = [Row(path, "GET", owner, "reply") for path, owner in self._reserved.items()]
        for found in self._found():
            route = found.route
            rows.append(Row(route.path, route.method, found.wire.name, route.carrier.value))
        return sorted(rows)

    def _address(self, path: str) -> str | None:
        """The last part of a path under a mount, if it may be an address."""
        cut = path.rfind("/") + 1
        if path[:cut] not in self._open:
            return None
        address = path[cut:]
        return address if address and _CONTROL.search(address) is None else None

    def _add(self, wire: Wire, route: Route) -> None:
        path, is_open = route.path, route.path.endswith("/" + ADDRESS)
        fixed = path[: -len(ADDRESS)] if is_open else path
        if not fixed.startswith("/") or re.search(r"[\x00-\x20?#{}\x7f]", fixed):
            raise ConfigurationError(
                f'{wire.name}: "{path}" cannot be a path; right: "/chat", or "/chat/{ADDRESS}"'
            )
        if path in self._reserved:
            raise ConfigurationError(
                f'"{wire.name}" wants {path}, where the server has its {self._reserved[path]}; '
                "give the wire another path"
            )
        owners = (self._open if is_open else self._exact).setdefault(fixed, {})
        if route.method in owners:
            raise ConfigurationError(
                f'"{owners[route.method].wire.name}" and "{wire.name}" both want '
                f"{route.method} {path}; give one of them another path"
            )
        owners[route.method] = Found(wire, route)

    def _found(self) -> Iterable[Found]:
        for paths in (self._exact, self._open):
            for owners in paths.values():
                yield from owners.values()
