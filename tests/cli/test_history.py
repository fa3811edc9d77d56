"""The history of typed lines, in a file."""

import stat
from pathlib import Path

import pytest

from anywire.cli.history import History, place


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/ana"}, "/state/anywire/talk_history"),
        ({"HOME": "/ana"}, "/ana/.local/state/anywire/talk_history"),
        ({"XDG_STATE_HOME": "", "HOME": "/ana"}, "/ana/.local/state/anywire/talk_history"),
        ({"XDG_STATE_HOME": "a/b", "HOME": "/ana"}, "/ana/.local/state/anywire/talk_history"),
    ],
)
def test_it_is_where_the_xdg_specification_says(environ: dict[str, str], path: str) -> None:
    assert place(environ) == Path(path)


def test_lines_come_back_in_the_next_talk(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "history"
    first = History(path)
    assert list(first.lines()) == []
    first.add("one")
    first.add("snow \N{SNOWMAN}")
    assert list(History(path).lines()) == ["one", "snow \N{SNOWMAN}"]


def test_it_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "anywire" / "history"
    History(path).add("one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("old\n")
    path.chmod(0o644)
    History(path).add("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(History(path).lines()) == ["old", "new"]


def test_only_the_newest_lines_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History(path, most=3)
    for number in range(5):
        history.add(str(number))
    assert list(History(path, most=3).lines()) == ["2", "3", "4"]
    assert path.read_text() == "2\n3\n4\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["history"]


@pytest.mark.parametrize("line", ["", " secret", "a\x1bb", "x" * 5000])
def test_some_lines_are_not_kept(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history"
    History(path).add(line)
    assert not path.exists()


def test_two_talks_share_it(tmp_path: Path) -> None:
    path = tmp_path / "history"
    ana, bo = History(path), History(path)
    ana.add("one")
    bo.add("two")
    ana.add("three")
    assert list(bo.lines()) == ["one", "two", "three"]


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file" / "history")
    history.add("one")
    assert list(history.lines()) == []


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    (tmp_path / "history").symlink_to(other)
    History(tmp_path / "history").add("one")
    assert other.read_text() == ""
