"""Which pages may open a conversation: the table is the rule."""

import pytest

from anywire.errors import ConfigurationError
from anywire.servers.origin import Origins

HERE = "example.com"
YES, NO = True, False

# Origin, Host, TLS ends here, may connect
SAME = [
    ("http://example.com", HERE, False, YES),
    ("http://example.com:80", HERE, False, YES),
    ("http://example.com", "example.com:80", False, YES),
    ("https://example.com", HERE, False, YES),  # a proxy ended TLS
    ("https://example.com", HERE, True, YES),
    ("https://example.com:443", HERE, True, YES),
    ("https://example.com", "example.com:443", True, YES),
    ("http://example.com", HERE, True, NO),
    ("http://example.com:443", "example.com:443", True, NO),
    ("HTTP://EXAMPLE.COM", HERE, False, YES),
    ("http://example.com", "EXAMPLE.COM", False, YES),
    ("http://example.com.", HERE, False, YES),
    ("http://example.com", "example.com.", False, YES),
    (" http://example.com ", HERE, False, YES),
    ("http://evil-example.com", HERE, False, NO),
    ("http://example.com.evil.io", HERE, False, NO),
    ("http://sub.example.com", HERE, False, NO),
    ("http://example.com:1", HERE, False, NO),
    ("http://example.com:8000", HERE, False, NO),
    ("http://example.com:8000", "example.com:8000", False, YES),
    ("https://example.com:8000", "example.com:8000", False, YES),
    ("https://example.com", "example.com:8000", True, NO),
    ("http://example.com", "example.com:8000", False, NO),
    ("null", HERE, False, NO),
    ("", HERE, False, NO),
    ("file://", HERE, False, NO),
    ("file:///", HERE, False, NO),
    ("ws://example.com", HERE, False, NO),
    ("chrome-extension://abcdef", HERE, False, NO),
    ("capacitor://localhost", "localhost", False, NO),
    ("http://example.com/", HERE, False, NO),
    ("http://example.com/path", HERE, False, NO),
    ("http://user@example.com", HERE, False, NO),
    ("http://user:pass@example.com", HERE, False, NO),
    ("http://example.com@evil.io", HERE, False, NO),
    ("http://evil.io#example.com", HERE, False, NO),
    ("http://evil.io\\example.com", HERE, False, NO),
    ("http://evil.io?example.com", HERE, False, NO),
    ("http://example.com http://evil.io", HERE, False, NO),
    ("http://example.com, http://evil.io", HERE, False, NO),
    ("http://example.com\n", HERE, False, NO),
    ("http://example.com:0", HERE, False, NO),
    ("http://example.com:99999", HERE, False, NO),
    ("http://example.com:80a", HERE, False, NO),
    ("http://example.com:", HERE, False, NO),
    ("http://", HERE, False, NO),
    ("://example.com", HERE, False, NO),
    ("example.com", HERE, False, NO),
    ("http://[::1]", "[::1]", False, YES),
    ("http://[0:0:0:0:0:0:0:1]", "[::1]", False, YES),
    ("http://[::1]:8000", "[::1]:8000", False, YES),
    ("http://[::2]", "[::1]", False, NO),
    ("http://[:::]", "[:::]", False, NO),
    ("http://127.0.0.1:8000", "127.0.0.1:8000", False, YES),
    ("http://127.0.0.1:8000", "localhost:8000", False, NO),
    ("http://bücher.example", "xn--bcher-kva.example", False, YES),
    ("http://xn--bcher-kva.example", "bücher.example", False, YES),
    ("http://" + "ü" * 300, HERE, False, NO),
    ("http://example.com", None, False, NO),
    ("http://example.com", "", False, NO),
    ("http://example.com", "example.com/evil", False, NO),
    ("http://example.com", "exa mple.com", False, NO),
]


@pytest.mark.parametrize(("origin", "host", "is_secure", "may"), SAME)
def test_by_default_only_the_same_origin_may_connect(
    origin: str, host: str | None, is_secure: bool, may: bool
) -> None:
    assert (Origins(None).why_not(origin, host, is_secure=is_secure) is None) is may


LISTED = ["https://app.example", "http://localhost:5173", "capacitor://localhost", "https://B.ex."]


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://app.example", YES),
        ("https://app.example:443", YES),
        ("https://APP.example.", YES),
        ("https://b.ex", YES),
        ("http://app.example", NO),
        ("https://app.example:8443", NO),
        ("https://x.app.example", NO),
        ("http://localhost:5173", YES),
        ("http://localhost:5174", NO),
        ("http://localhost", NO),
        ("capacitor://localhost", YES),
        ("capacitor://evil", NO),
        ("null", NO),
        ("http://example.com", YES),  # our own still may
    ],
)
def test_a_list_widens_the_same_origin(origin: str, may: bool) -> None:
    assert (Origins(LISTED).why_not(origin, HERE, is_secure=False) is None) is may


def test_a_client_without_an_origin_is_no_browser() -> None:
    assert Origins(None).why_not(None, HERE, is_secure=True) is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "file://", "\x00"])
def test_a_star_lets_everybody_in(origin: str) -> None:
    assert Origins("*").why_not(origin, HERE, is_secure=True) is None
    assert Origins(["https://a.example", "*"]).why_not(origin, HERE, is_secure=True) is None


def test_null_is_let_in_only_by_its_name() -> None:
    assert Origins(["null"]).why_not("null", HERE, is_secure=False) is None
    assert Origins(["null"]).why_not("file://", HERE, is_secure=False) is not None


def test_the_refusal_names_the_line_that_would_let_the_page_in() -> None:
    origins = Origins(None)
    assert 'origins=["https://a.example:8443"]' in str(
        origins.why_not("https://A.example:8443", HERE, is_secure=True)
    )
    assert "evil" not in str(origins.why_not("evil <script>", HERE, is_secure=True))


@pytest.mark.parametrize("wrong", ["example.com", "https://example.com/", "*.example.com", ""])
def test_what_is_no_origin_cannot_be_listed(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="is no origin"):
        Origins([wrong])


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("chat.example", YES),
        ("CHAT.example.", YES),
        ("chat.example:8000", YES),
        ("evil.example", NO),
        ("chat.example.evil", NO),
        ("", NO),
        (None, NO),
        ("chat.example:x", NO),
    ],
)
def test_the_names_of_this_server_can_be_listed(host: str | None, known: bool) -> None:
    assert Origins(None, ["chat.example"]).knows_host(host) is known
    assert Origins(None).knows_host(host)
