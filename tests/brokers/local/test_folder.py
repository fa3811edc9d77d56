"""Tests of anywire.brokers.local.folder."""

import fcntl
import os
import shutil
import time
from pathlib import Path

import pytest

from anywire.brokers.local import Folder
from anywire.errors import ConfigurationError


def test_a_folder_is_private_and_its_key_is_one(tmp_path: Path) -> None:
    first, second = Folder(tmp_path / "a" / "b"), Folder(tmp_path / "a" / "b")
    assert first.path.stat().st_mode & 0o777 == 0o700
    assert first.key == second.key
    assert len(first.key) == 32
    assert (first.path / "key").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(first.path)) == ["key"]
    assert first.door("n1") != first.door("n2")


def test_a_lock_is_held_by_one_until_it_lets_go(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a")
    lock = folder.lock()
    assert lock is not None
    assert folder.lock() is None
    os.close(lock)
    again = folder.lock()
    assert again is not None
    os.close(again)


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        Folder(place)


def test_a_link_or_a_file_is_no_folder(tmp_path: Path) -> None:
    Folder(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="no folder of this user"):
        Folder(tmp_path / "link")
    with pytest.raises(ConfigurationError, match="cannot meet"):
        Folder(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="cannot meet"):
        Folder(tmp_path / "file" / "below")


def test_a_path_that_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        Folder(tmp_path / ("x" * 100))


def test_a_folder_beside_other_run_time_files_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert Folder.beside("x").path == tmp_path / "anywire" / "x"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert Folder.beside("x").path == tmp_path / f"anywire-{os.geteuid()}" / "x"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this user's folders are."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    Folder(tmp_path / "anywire")
    return tmp_path / "anywire"


def aged(path: Path) -> Path:
    """Nothing was done there for two hours."""
    then = time.time() - 7200
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def test_folders_that_were_left_over_are_removed_and_used_ones_are_not(mine: Path) -> None:
    old, used, young, own = (Folder(mine / name) for name in ("old", "used", "young", "own"))
    assert all(folder.key for folder in (old, used, young, own))
    lock = used.lock()
    assert lock is not None
    for folder in (old, used, own):
        aged(folder.path)
    assert Folder.beside("own").path == own.path
    assert {path.name for path in mine.iterdir()} == {"used", "young", "own"}
    os.close(lock)
    aged(used.path)
    Folder.beside("own")
    assert {path.name for path in mine.iterdir()} == {"young", "own"}


def test_what_is_no_folder_of_ours_is_left_alone(mine: Path) -> None:
    (mine / "file").touch()
    (mine / "dangling").symlink_to(mine / "nowhere")
    (mine / "link").symlink_to(mine)
    open_to_others = mine / "open"
    open_to_others.mkdir(mode=0o755)
    for path in [*mine.iterdir()]:
        aged(path)
    Folder.beside("own")
    assert {path.name for path in mine.iterdir()} == {"file", "dangling", "link", "open", "own"}
    assert not (mine / "nowhere").exists()


def test_workers_that_clean_up_at_the_same_time_do_not_stumble(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has listed a folder that another removes before it is looked at."""
    listed = [mine / "gone", *mine.iterdir()]
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(listed))
    assert Folder.beside("own").path == mine / "own"


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "a")

    def removed(descriptor: int, how: int) -> None:
        (folder.path / "hub.lock").unlink()
        flock(descriptor, how)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", removed)
    before = len(os.listdir("/proc/self/fd"))
    assert folder.lock() is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_key_that_somebody_else_made_first_is_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "a")

    def late(*args: object) -> None:
        (folder.path / "key").write_bytes(b"first")
        raise FileExistsError

    monkeypatch.setattr(os, "link", late)
    assert folder.key == b"first"
    assert os.listdir(folder.path) == ["key"]


def test_what_was_removed_is_made_again_with_the_key_that_is_known(tmp_path: Path) -> None:
    first, second = Folder(tmp_path / "a" / "b"), Folder(tmp_path / "a" / "b")
    key = first.key
    assert second.key == key
    shutil.rmtree(tmp_path / "a")
    first.mend()
    for path in (first.path, first.path.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (first.path / "key").stat().st_mode & 0o777 == 0o600
    assert Folder(first.path).key == key
    second.mend()
    assert (first.key, second.key) == (key, key)
    assert os.listdir(first.path) == ["key"]


def test_whoever_mends_second_takes_the_key_that_is_there(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a")
    old = folder.key
    shutil.rmtree(folder.path)
    new = Folder(folder.path).key
    folder.mend()
    assert old != new
    assert folder.key == new


def test_a_lock_is_held_as_long_as_its_file_is_what_others_would_lock(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a")
    lock = folder.lock()
    assert lock is not None
    assert folder.holds(lock)
    (folder.path / "hub.lock").unlink()
    assert not folder.holds(lock)
    other = folder.lock()
    assert other is not None
    assert folder.holds(other)
    assert not folder.holds(lock)
    os.close(lock)
    os.close(other)


def test_a_folder_that_is_kept_is_young(mine: Path) -> None:
    folder = Folder(mine / "used")
    assert folder.key
    (folder.path / "link").symlink_to(folder.path / "nowhere")
    for path in [*folder.path.iterdir(), folder.path]:
        aged(path)
    folder.keep()
    paths = [folder.path, folder.path / "key", folder.path / "link"]
    assert all(time.time() - path.lstat().st_mtime < 600 for path in paths)
    shutil.rmtree(folder.path)
    folder.keep()  # nothing is there to keep, and the hub sees to that
