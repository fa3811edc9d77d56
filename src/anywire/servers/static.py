"""What the server serves from memory: the browser client and the health checks."""

import hashlib
from pathlib import Path

import msgspec

from anywire.net.http1 import Request
from anywire.wires.base import Answer

Headers = list[tuple[str, str]]
_BUILT = Path(__file__).parents[1] / "static"


class Reply(msgspec.Struct, frozen=True):
    """A whole HTTP answer."""

    status: int
    headers: Headers
    body: bytes = b""

    @classmethod
    def of(cls, answer: Answer) -> "Reply":
        """What a wire said, where it is no upgrade."""
        return cls(answer.status, list(answer.headers), answer.body)


class File(msgspec.Struct, frozen=True):
    """One file in memory, with the tag by which browsers know that they have it."""

    content_type: str
    body: bytes
    tag: str

    @classmethod
    def of(cls, content_type: str, body: bytes) -> "File":
        """The file with its tag."""
        return cls(content_type, body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')

    def answer(self, request: Request) -> Reply:
        """The file, or 304 to who has it (RFC 9110, 13.1.2)."""
        if request.method not in ("GET", "HEAD"):
            return text(405, "this is a file: GET it", ("Allow", "GET, HEAD"))
        headers = [
            ("Content-Type", self.content_type),
            ("ETag", self.tag),
            ("Cache-Control", "no-cache"),
            # It is the same public file for everybody, and pages of other origins import it.
            ("Access-Control-Allow-Origin", "*"),
            ("Cross-Origin-Resource-Policy", "cross-origin"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        known = (request.header("if-none-match") or "").split(",")
        if any(tag.strip().removeprefix("W/") in (self.tag, "*") for tag in known):
            return Reply(304, headers)
        return Reply(200, headers, self.body)


def client_files() -> dict[str, tuple[str, bytes]]:
    """The built browser client: content type and bytes by path; empty where it is not built."""
    built = _BUILT / "anywire.js"
    if not built.is_file():
        return {}
    return {"/anywire.js": ("text/javascript; charset=utf-8", built.read_bytes())}


def health(request: Request, *, is_well: bool, words: tuple[str, str]) -> Reply:
    """200 or 503, with the word for it."""
    if request.method not in ("GET", "HEAD"):
        return text(405, "this is a health check: GET it", ("Allow", "GET, HEAD"))
    reply = text(200 if is_well else 503, words[0] if is_well else words[1])
    reply.headers.append(("Cache-Control", "no-store"))
    return reply


def text(status: int, words: str, *headers: tuple[str, str]) -> Reply:
    """A short answer for people."""
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    return Reply(status, [*headers, *plain], f"{words}\n".encode())
