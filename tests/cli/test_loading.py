"""Finding the app that a target names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anywire import Anywire
from anywire.cli.loading import AppFailed, load
from anywire.errors import ConfigurationError

APP = "from anywire import Anywire\napp = Anywire()\nother = app\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("target", ["chatty:app", "chatty:other", "chatty", "chatty.py:app"])
def test_an_app_is_found_from_the_current_folder(here: Path, target: str) -> None:
    (here / "chatty.py").write_text(APP)
    assert isinstance(load(target), Anywire)


def test_an_app_is_found_by_a_path_with_its_neighbours(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "neighbour.py").write_text(APP)
    (here / "sub" / "my-chat.py").write_text("from neighbour import app")
    assert isinstance(load("sub/my-chat.py:app"), Anywire)


def test_a_file_may_have_the_name_of_a_module_that_is_there_already(here: Path) -> None:
    (here / "json.py").write_text(APP)
    json = sys.modules["json"]
    assert isinstance(load("json.py:app"), Anywire)
    assert sys.modules["json"] is json


def test_an_app_in_a_package_is_found(here: Path) -> None:
    (here / "pack").mkdir()
    (here / "pack" / "chatty.py").write_text(
        "class site:\n  from anywire import Anywire\n  app = Anywire()"
    )
    assert isinstance(load("pack.chatty:site.app"), Anywire)


def test_a_function_that_makes_an_app_is_called(here: Path) -> None:
    (here / "chatty.py").write_text("from anywire import Anywire\ndef make(): return Anywire()")
    assert isinstance(load("chatty:make"), Anywire)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere:app", 'there is no module "nowhere" here or installed; run this in the folder'),
        ("chatty.nowhere:app", 'there is no module "chatty.nowhere"'),
        ("nowhere.py:app", "there is no file nowhere.py"),
        ("chatty:nope", 'chatty has no "nope"; it has app, other'),
        ("empty:app", 'empty has no "app"; it has no Anywire app'),
        ("chatty:Anywire", "is a type, not an Anywire app; it has app, other"),
        ("json:dumps", "is a function, not an Anywire app"),
        (":app", "names no app; write module:app"),
        ("chatty:", "names no app"),
        ("../chatty:app", '"../chatty" cannot be a module'),
        (".chatty:app", "cannot be a module"),
    ],
)
def test_a_wrong_target_is_refused_in_one_line_that_says_what_to_do(
    here: Path, target: str, why: str
) -> None:
    (here / "chatty.py").write_text(APP)
    (here / "empty.py").write_text("")
    with pytest.raises(ConfigurationError) as caught:
        load(target)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("1/0", "chatty could not be imported: ZeroDivisionError: division by zero"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit", "chatty could not be imported: SystemExit"),
        ("def :", "chatty could not be imported: SyntaxError"),
    ],
)
def test_what_the_module_raises_comes_with_a_traceback_of_its_own_code(
    here: Path, source: str, why: str
) -> None:
    (here / "chatty.py").write_text(source)
    with pytest.raises(AppFailed) as caught:
        load("chatty:app")
    assert why in str(caught.value)
    trace = caught.value.cause.__traceback__
    assert trace is None or trace.tb_frame.f_code.co_filename == str(here / "chatty.py")


def test_what_a_function_that_makes_an_app_raises_is_told_too(here: Path) -> None:
    (here / "chatty.py").write_text("def make(): raise KeyError('db')")
    with pytest.raises(AppFailed, match="chatty:make failed: KeyError: 'db'"):
        load("chatty:make")
