"""Limits: one struct, every bound with a default; what crosses each is tested where it is read."""

from pathlib import Path

import msgspec
import pytest

from anywire.limits import Deflate, Limits, is_too_long

SOURCE = Path(__file__).parents[1] / "src" / "anywire"
STRANGERS = Path(__file__).parent / "wires" / "strangers"
"""Wires of the tests, in place of those to come: some bounds are theirs alone."""
FIELDS = [field.name for field in msgspec.structs.fields(Limits)]


def test_every_bound_has_a_default_above_zero() -> None:
    assert all(value > 0 for value in msgspec.structs.astuple(Limits()))


def test_what_clients_and_proxies_are_promised() -> None:
    limits = Limits()
    assert (limits.message, limits.fragments, limits.nesting) == (65_536, 1_024, 32)
    assert (limits.url, limits.headers, limits.header_bytes) == (8_192, 64, 16_384)
    assert (limits.body, limits.outbox, limits.kept_bytes) == (1_048_576,) * 3
    assert (limits.resume, limits.kept_messages, limits.waiting_events) == (120, 1_000, 64)


def test_a_changed_copy_changes_nothing_else() -> None:
    changed = Limits(message=1 << 20)
    assert changed.message == 1 << 20
    assert msgspec.structs.replace(changed, message=Limits().message) == Limits()
    with pytest.raises(AttributeError):
        changed.message = 5  # type: ignore[misc]


def test_a_name_is_counted_in_bytes_of_utf_8() -> None:
    for name, size in (("x", 1), ("\u00e9", 2), ("\u20ac", 3), ("\U0001f389", 4), ("\ud800", 1)):
        assert not is_too_long(name * 4, 4 * size)
        assert is_too_long(name * 4, 4 * size - 1)
        assert is_too_long(name * 5, 4)
    assert not is_too_long("", 0)


@pytest.mark.parametrize("name", FIELDS)
def test_every_bound_is_read_somewhere(name: str) -> None:
    readers = [
        path
        for folder in (SOURCE, STRANGERS)
        for path in folder.rglob("*.py")
        if f"imits.{name}" in path.read_text(encoding="utf-8")
    ]
    assert readers


@pytest.mark.parametrize("bits", [8, 16])
def test_a_deflate_window_has_9_to_15_bits(bits: int) -> None:
    with pytest.raises(ValueError, match=f"9 to 15 bits, not {bits}"):
        Deflate(server_bits=bits)
    with pytest.raises(ValueError, match=f"9 to 15 bits, not {bits}"):
        Deflate(client_bits=bits)
    assert Deflate(server_bits=9, client_bits=15) == Deflate(server_bits=9)
