"""The private folder in which the workers of one machine meet.

It holds the hub's lock and socket, the key that workers and hub show each other, and each worker's
door. Only its owner may enter it, so that nobody else can pose as a hub or listen.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

from anywire.errors import ConfigurationError

LONGEST = 107
"""Bytes of a Unix socket's path (sockaddr_un holds 108 with its end)."""
NAME = 24
"""Bytes that the longest name in the folder may have."""
_OLD = 3600.0
"""Seconds after which a folder without a hub is left-over."""


class Folder:
    """One such folder, made when it is not there. Raises ConfigurationError for one that others
    may enter, or whose path is too long for a socket.
    """

    __slots__ = ("_key", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        if len(os.fsencode(path)) + 1 + NAME > LONGEST:
            raise ConfigurationError(
                f"{path} is too long for a socket in it: at most {LONGEST - 1 - NAME} bytes"
            )
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.lstat()
        except OSError as error:
            raise ConfigurationError(
                f"workers cannot meet in {path}: {error.strerror or error}"
            ) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ConfigurationError(
                f"{path} is no folder of this user's: workers cannot meet there"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigurationError(f"others may enter {path}; right: chmod 700 {path}")
        self._key = b""

    @classmethod
    def beside(cls, name: str) -> "Folder":
        """The folder of this name where this user's run-time files are; old ones there that nobody
        uses are removed.
        """
        own = run_time_folder()
        if own is not None:
            mine = own / "anywire"
        else:
            mine = Path(tempfile.gettempdir()) / f"anywire-{os.geteuid()}"
        cls(mine)  # the folder above it must be private too
        for other in mine.iterdir():
            if other.name != name:
                _remove(other)
        return cls(mine / name)

    @property
    def key(self) -> bytes:
        """What workers and hub show each other."""
        if not self._key:
            self._key = self._read_key()
        return self._key

    @property
    def hub(self) -> str:
        """Where the hub listens."""
        return str(self.path / "hub.sock")

    def door(self, node: str) -> str:
        """Where a worker takes what belongs to it."""
        return str(self.path / f"{hashlib.blake2b(node.encode(), digest_size=8).hexdigest()}.sock")

    def lock(self) -> int | None:
        """A descriptor that holds the hub's lock until it is closed or this process ends; None:
        another process holds it.
        """
        descriptor = os.open(self.path / "hub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # it was removed meanwhile: who comes after us has another one
        return None

    def keep(self) -> None:
        """Be young: what is old is removed from /tmp, by systemd-tmpfiles after ten days."""
        with contextlib.suppress(OSError):
            for one in (self.path, *self.path.iterdir()):
                os.utime(one, follow_symlinks=False)

    def holds(self, lock: int) -> bool:
        """Whether this descriptor is still what everybody else would lock."""
        try:
            return os.path.samestat(os.stat(self.path / "hub.lock"), os.fstat(lock))
        except OSError:
            return False

    def mend(self) -> None:
        """Make what was removed under us again, with the key that those who are here know."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700)
        Folder(self.path)
        place = self.path / "key"
        if self._key and not place.exists():
            self._offer(self._key, place)
        self._key = self._read_key()

    def _read_key(self) -> bytes:
        """The key, made by who comes first: written aside, then linked, so that it is whole."""
        place = self.path / "key"
        if not place.exists():
            self._offer(secrets.token_bytes(32), place)
        return place.read_bytes()

    def _offer(self, key: bytes, place: Path) -> None:
        aside = self.path / f"key.{secrets.token_hex(4)}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
            with contextlib.suppress(FileExistsError):  # somebody was faster
                os.link(aside, place)
        finally:
            os.unlink(aside)


def run_time_folder() -> Path | None:
    """XDG_RUNTIME_DIR, if there is one that can be written to; None: temporary files it is."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own) if own and os.access(own, os.W_OK | os.X_OK) else None


def _remove(path: Path) -> None:
    """Remove a folder that is old and whose workers are gone: nobody holds its lock."""
    try:
        if time.time() - path.lstat().st_mtime < _OLD:
            return
        lock = Folder(path).lock()
    except (ConfigurationError, OSError):  # as when another worker removes it too
        return
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
