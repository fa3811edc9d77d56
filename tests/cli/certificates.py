"""Certificates for tests, in files."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

PASSPHRASE = "open sesame"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of files in PEM; the one certificate is fit for both ends."""

    ca: str
    cert: str
    key: str
    both: str
    """Certificate and key in one file."""
    locked: str
    """The key, encrypted with `PASSPHRASE`."""


def write_certificates(folder: Path) -> Certificates:
    """Make a certificate authority, and a certificate for 127.0.0.1 and localhost."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = Certificates(
        *(str(folder / f"{name}.pem") for name in ("ca", "cert", "key", "both", "locked"))
    )
    authority.cert_pem.write_to_path(files.ca)
    issued.cert_chain_pems[0].write_to_path(files.cert)
    issued.private_key_pem.write_to_path(files.key)
    issued.private_key_and_cert_chain_pem.write_to_path(files.both)
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    Path(files.locked).write_bytes(locked)
    return files
