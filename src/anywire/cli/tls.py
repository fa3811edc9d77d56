"""Tls: contexts from the options of a command, and in one line why one cannot be made."""

import ssl
from collections.abc import Callable

from anywire.cli.command import UsageError
from anywire.errors import ConfigurationError

Ask = Callable[[], str]
"""Asks for the passphrase of a key, or knows it."""


def for_client(
    *,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    passphrase: Ask | None = None,
    checks: bool = True,
) -> ssl.SSLContext:
    """For talking to a server: `cert` is shown to it, `ca` verifies it instead of the system's.

    Raises ConfigurationError for a file that is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"{ca} is no file of certificates in PEM; name another with --ca"
        ) from None
    if not checks:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load(context, cert, key, passphrase)
    return context


def for_server(
    *,
    cert: str,
    key: str | None = None,
    passphrase: Ask | None = None,
    ca: str | None = None,
) -> ssl.SSLContext:
    """For serving; with `ca`, clients must show a certificate of these. Raises as `for_client`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                f"{ca} is no file of certificates in PEM; name another with --ca"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    _load(context, cert, key, passphrase)
    return context


def _load(context: ssl.SSLContext, cert: str | None, key: str | None, ask: Ask | None) -> None:
    if cert is None:
        if key is not None:
            raise UsageError("--key needs --cert beside it")
        return
    try:
        context.load_cert_chain(cert, key, ask or _nobody)
    except FileNotFoundError:
        files = cert if key is None else f"{cert} or {key}"
        raise ConfigurationError(f"there is no file {files}") from None
    except _Locked:
        raise ConfigurationError(
            f"the key of {cert} is encrypted; give its passphrase with --passphrase"
        ) from None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{cert} is no certificate with its key, in PEM, or the passphrase is wrong ({why});"
            " name the key with --key"
        ) from None


class _Locked(Exception):
    """A passphrase is wanted, and there is none."""


def _nobody() -> str:
    raise _Locked
