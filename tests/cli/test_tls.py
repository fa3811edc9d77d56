"""Contexts from options."""

import ssl
from pathlib import Path

import pytest

from anywire.cli import tls
from anywire.cli.command import UsageError
from anywire.errors import ConfigurationError
from tests.cli.certificates import PASSPHRASE, Certificates, write_certificates


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates"))


def test_a_client_verifies_unless_it_is_told_not_to(files: Certificates) -> None:
    context = tls.for_client(ca=files.ca)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    context = tls.for_client(checks=False)
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)


def test_a_server_asks_for_certificates_where_it_has_an_authority(files: Certificates) -> None:
    assert tls.for_server(cert=files.both).verify_mode is ssl.CERT_NONE
    context = tls.for_server(cert=files.cert, key=files.key, ca=files.ca)
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_locked_key_is_opened_with_its_passphrase(files: Certificates) -> None:
    tls.for_client(cert=files.cert, key=files.locked, passphrase=lambda: PASSPHRASE)
    tls.for_server(cert=files.cert, key=files.locked, passphrase=lambda: PASSPHRASE)


def test_a_locked_key_without_a_passphrase_is_told(files: Certificates) -> None:
    with pytest.raises(ConfigurationError, match="give its passphrase with --passphrase"):
        tls.for_client(cert=files.cert, key=files.locked)


@pytest.mark.parametrize("passphrase", ["open barley", "x" * 2000])
def test_a_wrong_passphrase_is_told(passphrase: str, files: Certificates) -> None:
    with pytest.raises(ConfigurationError, match="or the passphrase is wrong"):
        tls.for_client(cert=files.cert, key=files.locked, passphrase=lambda: passphrase)


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_file_of_no_certificates_is_told(end: str, files: Certificates, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    with pytest.raises(ConfigurationError, match="name another with --ca"):
        if end == "client":
            tls.for_client(ca=str(bad))
        else:
            tls.for_server(cert=files.both, ca=str(bad))
    with pytest.raises(ConfigurationError, match="is no certificate with its key"):
        tls.for_client(cert=str(bad))


def test_a_file_that_is_not_there_is_told(files: Certificates) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file nowhere\.pem$"):
        tls.for_server(cert="nowhere.pem")
    with pytest.raises(ConfigurationError, match=r"or nowhere\.pem"):
        tls.for_server(cert=files.cert, key="nowhere.pem")


def test_a_key_needs_its_certificate(files: Certificates) -> None:
    with pytest.raises(UsageError, match="--key needs --cert"):
        tls.for_client(key=files.key)
