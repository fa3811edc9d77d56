"""Exit codes of a talk."""

import pytest

from anywire.cli.entry import Entry, Exit, exit_for, opened, probed


@pytest.mark.parametrize("code", [1000, 1005])
def test_a_normal_close_is_meant(code: int) -> None:
    assert exit_for(code) is Exit.MEANT


@pytest.mark.parametrize("code", [1008, 4401, 4403])
def test_a_refusal_is_told_from_a_cut(code: int) -> None:
    assert exit_for(code) is Exit.REFUSED


@pytest.mark.parametrize("code", [1001, 1006, 1011, 4400, 4410])
def test_every_other_close_is_a_cut(code: int) -> None:
    assert exit_for(code) is Exit.CUT


def test_who_is_at_the_other_end_is_told_only_of_a_client() -> None:
    assert opened() == Entry(direction="here", type="open")
    assert opened("client").data == {"peer": "client"}


def test_a_probe_carries_text_whatever_came() -> None:
    assert probed("pong", b"\xffhi").data == {"data": "\ufffdhi"}
    assert probed("pong", b"", seconds=0.5).data == {"data": "", "seconds": 0.5}
