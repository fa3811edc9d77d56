"""Tests of anywire.brokers.local.folder."""

import os
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
