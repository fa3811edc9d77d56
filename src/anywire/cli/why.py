"""Why: what went wrong with a connection, in words for the person at the terminal. Pure."""

import os
import ssl

from anywire.errors import Refused
from anywire.net.handshake import HandshakeError, parse_url


def without_secrets(url: str) -> str:
    """A URL fit for a log: no name and password, no query, which may hold a token."""
    target = parse_url(url)
    return f"{target.scheme}://{target.authority}{target.resource.partition('?')[0]}"


def words_of(error: BaseException) -> str:
    """What went wrong, with what the server said about it in its answer, if that is short text."""
    cause = error if isinstance(error, HandshakeError) else error.__cause__
    if isinstance(cause, HandshakeError):
        body = cause.response.rest
        said = body.decode(errors="replace").strip().partition("\n")[0]
        return (
            f"{cause.reason}: {said}"
            if said.isprintable() and 0 < len(said) <= 200
            else cause.reason
        )
    if isinstance(error, Refused):
        return error.text or error.code
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "the server speaks no TLS there; use ws:// instead of wss://"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message} (-n takes any)"
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
