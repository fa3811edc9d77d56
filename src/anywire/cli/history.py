"""History: the lines a person typed, kept from one talk to the next.

One file for the user alone, where the XDG Base Directory Specification wants state to be. A line
that begins with a space is not kept, as in shells.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

MOST = 1000
"""Lines kept."""
_LONGEST = 4096
"""Letters of a line that is kept."""


def place(environ: Mapping[str, str]) -> Path:
    """Where the history is: `$XDG_STATE_HOME/anywire/talk_history`, as a rule in `~/.local/state`.

    A relative path there is to be ignored, says the specification.
    """
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return state / "anywire" / "talk_history"


class History:
    """A file of at most `most` lines; one that cannot be read or written is none, without a word.

    Several talks may share it: each appends its lines as they are typed.
    """

    __slots__ = ("_most", "_path")

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self._path = path
        self._most = most

    def lines(self) -> Sequence[str]:
        """The newest lines, oldest first; a file that has grown too long is cut."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        except OSError:
            return ()
        kept = lines[-self._most :]
        if len(lines) > len(kept):
            with contextlib.suppress(OSError):
                self._rewrite(kept)
        return kept

    def add(self, line: str) -> None:
        """Keep a line, if it may be kept."""
        if not line or line.startswith(" ") or len(line) > _LONGEST or not line.isprintable():
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path, os.O_APPEND, f"{line}\n")

    def _rewrite(self, lines: Sequence[str]) -> None:
        """Put another file in its place, so that nobody ever reads half of one."""
        other = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        self._write(other, os.O_TRUNC, "".join(f"{line}\n" for line in lines))
        other.replace(self._path)

    @staticmethod
    def _write(path: Path, how: int, text: str) -> None:
        # Not through a symbolic link, which another user may have put there.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how
        descriptor = os.open(path, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, text.encode(errors="replace"))
        finally:
            os.close(descriptor)
