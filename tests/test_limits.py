"""Limits: one struct, every bound with a default; what crosses each is tested where it is read."""

from pathlib import Path

import msgspec
import pytest

from anywire.limits import Limits

SOURCE = Path(__file__).parents[1] / "src" / "anywire"
STRANGERS = Path(__file__).parent / "wires" / "strangers"
"""Wires of the tests, in place of those to come: some bounds are theirs alone."""
FIELDS = [field.name for field in msgspec.structs.fields(Limits)]


def test_every_bound_has_a_default_above_zero() -> None:
    assert all(value > 0 for value in msgspec.structs.astuple(Limits()))


def test_a_changed_copy_changes_nothing_else() -> None:
    changed = Limits(message=1 << 20)
    assert changed.message == 1 << 20
    assert msgspec.structs.replace(changed, message=Limits().message) == Limits()
    with pytest.raises(AttributeError):
        changed.message = 5  # type: ignore[misc]


@pytest.mark.parametrize("name", FIELDS)
def test_every_bound_is_read_somewhere(name: str) -> None:
    readers = [
        path
        for folder in (SOURCE, STRANGERS)
        for path in folder.rglob("*.py")
        if f"imits.{name}" in path.read_text(encoding="utf-8")
    ]
    assert readers
