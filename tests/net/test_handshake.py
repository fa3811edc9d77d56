"""The WebSocket opening handshake, both roles, by the byte and against `websockets`."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.http11 import Request as OracleRequest
from websockets.http11 import Response as OracleResponse
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from anywire.limits import Deflate
from anywire.net import handshake
from anywire.net.handshake import (
    Accepted,
    BadUrl,
    Denied,
    HandshakeError,
    Offer,
    Target,
    accept,
    check,
    parse_url,
    read_offer,
)
from anywire.net.http1 import Request, RequestParser, Response, ResponseParser, Upgraded, header

KEY = b"the sample nonce"
SAMPLE = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
TARGET = Target("ws", "localhost", 8000, "/ws?x=1", False)
SOUND = (
    (b"host", b"localhost"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", SAMPLE.encode()),
    (b"sec-websocket-version", b"13"),
)


def opening(
    *more: tuple[bytes, bytes],
    without: bytes = b"",
    method: str = "GET",
    version: str = "1.1",
    length: int | None = 0,
) -> Request:
    return Request(
        method=method,
        target=b"/ws",
        path="/ws",
        raw_path=b"/ws",
        query=b"",
        headers=[pair for pair in SOUND if pair[0] != without] + list(more),
        version=version,
        keep_alive=True,
        upgrade=True,
        length=length,
    )


def offered(*more: tuple[bytes, bytes]) -> Offer:
    offer = read_offer(opening(*more))
    assert isinstance(offer, Offer)
    return offer


def parse(data: bytes) -> Request:
    request, upgraded = RequestParser().receive(data)
    assert isinstance(request, Request)
    assert upgraded == Upgraded(b"")
    return request


def answer(data: bytes) -> Response:
    response = ResponseParser().receive(data)
    assert response is not None
    return response


def test_the_example_of_the_rfc_is_accepted_byte_for_byte() -> None:
    offer = offered((b"sec-websocket-protocol", b"chat, superchat"))
    assert offer == Offer(SAMPLE, ("chat", "superchat"))
    assert accept(offer, "chat") == Accepted(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n\r\n",
        "chat",
        None,
    )


def test_upgrade_and_connection_are_lists_over_several_lines_without_case() -> None:
    request = opening(
        (b"upgrade", b"h2c"), (b"upgrade", b"WebSocket"), (b"connection", b"keep-alive"),
        (b"connection", b"UPGRADE"), without=b"upgrade",
    )  # fmt: skip
    assert isinstance(read_offer(request), Offer)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (opening(method="POST"), 405),
        (opening(version="1.0"), 426),
        (opening(without=b"upgrade"), 426),
        (opening((b"upgrade", b"h2c"), without=b"upgrade"), 426),
        (opening((b"upgrade", b"websocket2"), without=b"upgrade"), 426),
        (opening((b"upgrade", b"\x00,;\xff\x85"), without=b"upgrade"), 426),
        (opening(without=b"connection"), 426),
        (opening((b"connection", b"close"), without=b"connection"), 426),
        (opening(without=b"host"), 400),
        (opening((b"host", b"other")), 400),
        (opening(length=5), 400),
        (opening(length=None), 400),
        (opening(without=b"sec-websocket-version"), 426),
        (opening((b"sec-websocket-version", b"8"), without=b"sec-websocket-version"), 426),
        (opening((b"sec-websocket-version", b"13")), 426),
        (opening(without=b"sec-websocket-key"), 400),
        (opening((b"sec-websocket-key", SAMPLE.encode())), 400),
        (opening((b"sec-websocket-key", b"c2hvcnQ="), without=b"sec-websocket-key"), 400),
        (opening((b"sec-websocket-key", b"\xff" * 24), without=b"sec-websocket-key"), 400),
        (opening((b"sec-websocket-protocol", b"a, b"), (b"sec-websocket-protocol", b"a")), 400),
        (opening((b"sec-websocket-protocol", b"caf\xc3\xa9")), 400),
        (opening((b"sec-websocket-protocol", b"a b")), 400),
        (opening((b"sec-websocket-extensions", b"a;")), 400),
    ],
)
def test_a_wrong_handshake_is_denied_with_its_status(request_: Request, status: int) -> None:
    denied = read_offer(request_)
    assert isinstance(denied, Denied)
    assert denied.status == status
    assert denied.reason
    if status == 405:
        assert denied.headers == (("Allow", "GET"),)
    elif status == 426:
        assert denied.headers == (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def test_subprotocols_of_all_lines_are_offered_in_order() -> None:
    lines = [(b"sec-websocket-protocol", value) for value in (b"b,\ta", b"", b"graphql-ws")]
    offer = offered(*lines)
    assert offer.subprotocols == ("b", "a", "graphql-ws")


def test_a_subprotocol_that_was_not_offered_cannot_be_accepted() -> None:
    with pytest.raises(ValueError, match="'b' was not offered"):
        accept(Offer(SAMPLE, ("a",)), "b")


@pytest.mark.parametrize("value", [b"a" * 65536, b"," * 65536, b" " * 65536, b"a," * 32768])
@pytest.mark.parametrize("name", [b"sec-websocket-protocol", b"sec-websocket-extensions"])
def test_64_kib_of_a_list_header_are_read_in_linear_time(name: bytes, value: bytes) -> None:
    """In quadratic time it would take billions of steps: past the time limit of every test."""
    read_offer(opening((name, value)))


def test_deflate_is_answered_when_both_want_it() -> None:
    offer = offered((b"sec-websocket-extensions", b"x-other, permessage-deflate"))
    accepted = accept(offer, deflate=Deflate())
    assert accepted.deflate is not None
    assert header(answer(accepted.head).headers, "sec-websocket-extensions") == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    )
    assert accept(offer).deflate is None
    assert b"Extensions" not in accept(offer).head
    assert b"Extensions" not in accept(offered(), deflate=Deflate()).head


def test_an_application_adds_headers_but_not_those_of_the_handshake() -> None:
    accepted = accept(offered(), headers=[("Set-Cookie", "a=1"), (b"X", b"\x85")])
    assert accepted.head.endswith(b"=\r\nSet-Cookie: a=1\r\nX: \x85\r\n\r\n")
    for name in ("Upgrade", "connection", "Sec-WebSocket-Protocol", "Content-Length"):
        with pytest.raises(ValueError, match="the handshake's own"):
            accept(offered(), headers=[(name, "x")])
    with pytest.raises(ValueError, match="control character"):
        accept(offered(), headers=[("X", "a\r\nSet-Cookie: b")])


@given(st.lists(st.tuples(st.sampled_from([name for name, _ in SOUND]), st.binary())))
def test_any_header_values_end_in_an_offer_or_a_denial(more: list[tuple[bytes, bytes]]) -> None:
    assert isinstance(read_offer(opening(*more)), Offer | Denied)


@given(
    st.sampled_from([b"sec-websocket-protocol", b"sec-websocket-extensions", b"upgrade"]),
    st.one_of(
        st.binary(),
        st.text('permessage-deflate;=,"\\ \t0189_proto').map(lambda text: text.encode()),
    ),
)
def test_any_list_value_ends_in_an_offer_or_a_denial(name: bytes, value: bytes) -> None:
    found = read_offer(opening((name, value)))
    if isinstance(found, Offer):
        accept(found, next(iter(found.subprotocols), None), deflate=Deflate())


def test_a_request_is_written_byte_for_byte() -> None:
    assert handshake.request(
        TARGET,
        KEY,
        headers=[("X", "y")],
        subprotocols=["a", "b"],
        deflate=Deflate(),
        origin="http://localhost",
    ) == (
        b"GET /ws?x=1 HTTP/1.1\r\nHost: localhost:8000\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, b\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
        b"client_no_context_takeover; client_max_window_bits\r\n"
        b"Origin: http://localhost\r\nX: y\r\n\r\n"
    )


def test_host_and_authorization_may_be_replaced() -> None:
    target = parse_url("ws://ana:p%C3%A4ss@localhost/")
    written = handshake.request(target, KEY)
    assert b"\r\nHost: localhost\r\n" in written
    assert b"\r\nAuthorization: Basic YW5hOnDDpHNz\r\n" in written
    mine = [("host", "other"), ("Authorization", "Bearer x")]
    written = handshake.request(target, KEY, headers=mine)
    assert re.findall(rb"(?i)(?:host|authorization): .*(?=\r)", written) == [
        b"host: other",
        b"Authorization: Bearer x",
    ]


@pytest.mark.parametrize("names", [["a", "a"], ["a,b"], [""], ["ä"], ["a b"], ["a\r\nX: y"]])
def test_a_client_cannot_offer_what_is_no_subprotocol(names: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        handshake.request(TARGET, KEY, subprotocols=names)


def test_a_client_cannot_replace_headers_of_the_handshake() -> None:
    with pytest.raises(ValueError, match="the handshake's own"):
        handshake.request(TARGET, KEY, headers=[("Sec-WebSocket-Key", SAMPLE)])


@pytest.mark.parametrize("subprotocol", [None, "b"])
@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_our_client_and_our_server_agree(subprotocol: str | None, deflate: Deflate | None) -> None:
    names = ["a", "b"]
    sent = handshake.request(TARGET, KEY, subprotocols=names, deflate=deflate)
    offer = read_offer(parse(sent))
    assert isinstance(offer, Offer)
    accepted = accept(offer, subprotocol, deflate=Deflate())
    response = answer(accepted.head + b"\x81\x00")
    agreed = check(response, KEY, subprotocols=names, deflate=deflate)
    assert agreed.subprotocol == subprotocol
    assert (agreed.deflate is None) == (accepted.deflate is None) == (deflate is None)
    assert agreed.rest == b"\x81\x00"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"101 Switching Protocols", b"403 Forbidden", "the server answered 403 Forbidden"),
        (b"101 Switching Protocols", b"503 ", "the server answered 503"),
        (b"101 Switching Protocols", b"500 \x9b31m", "the server answered 500 ?31m"),
        (b"Upgrade: websocket\r\n", b"", "the server did not upgrade to a WebSocket"),
        (b"websocket", b"h2c", "the server did not upgrade to a WebSocket"),
        (b"Connection: Upgrade\r\n", b"", "the server did not upgrade to a WebSocket"),
        (b"s3pP", b"S3pP", "the server's Sec-WebSocket-Accept is wrong"),
        (b"Sec-WebSocket-Accept", b"X", "the server's Sec-WebSocket-Accept is wrong"),
        (b"Protocol: a", b"Protocol: b", "the server chose a subprotocol not offered"),
        (b"Protocol: a", b"Protocol: a, a", "the server chose a subprotocol not offered"),
        (b"Protocol: a", b"Extensions: x", "the server chose an extension not offered"),
    ],
)
def test_a_client_refuses_a_server_that_does_not_keep_to_the_handshake(
    old: bytes, new: bytes, reason: str
) -> None:
    head = accept(Offer(SAMPLE, ("a",)), "a").head
    assert old in head
    response = answer(head.replace(old, new, 1))
    with pytest.raises(HandshakeError) as caught:
        check(response, KEY, subprotocols=["a"])
    assert (caught.value.status, caught.value.reason) == (response.status, reason)
    assert caught.value.response is response


def test_a_client_refuses_extension_parameters_it_did_not_offer() -> None:
    extension = [("Sec-WebSocket-Extensions", "permessage-deflate; x=1")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in extension).encode()
    head = accept(Offer(SAMPLE)).head[:-2] + lines + b"\r\n"
    with pytest.raises(HandshakeError):
        check(answer(head), KEY, deflate=Deflate())


# Against the oracle: `websockets` without I/O at the other end.


@pytest.mark.parametrize("deflate", [None, Deflate(), Deflate(server_bits=10, client_bits=11)])
def test_the_oracles_client_accepts_our_answer(deflate: Deflate | None) -> None:
    client = ClientProtocol(
        parse_uri("ws://localhost:8000/ws"),
        subprotocols=[Subprotocol("x"), Subprotocol("b")],
        extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)],
    )
    client.send_request(client.connect())
    (sent,) = client.data_to_send()
    offer = read_offer(parse(sent))
    assert isinstance(offer, Offer)
    accepted = accept(offer, "b", deflate=deflate)
    client.receive_data(accepted.head)
    assert client.handshake_exc is None
    assert client.subprotocol == "b"
    assert len(client.extensions) == (accepted.deflate is not None) == (deflate is not None)
    assert isinstance(client.events_received()[0], OracleResponse)


@pytest.mark.parametrize("deflate", [None, Deflate(), Deflate(server_bits=10, client_bits=11)])
def test_the_oracles_server_accepts_our_request_and_we_its_answer(deflate: Deflate | None) -> None:
    names = ["x", "b"]
    server = ServerProtocol(
        subprotocols=[Subprotocol("a"), Subprotocol("b")],
        extensions=[
            ServerPerMessageDeflateFactory(
                server_no_context_takeover=True, client_no_context_takeover=True
            )
        ],
    )
    server.receive_data(handshake.request(TARGET, KEY, subprotocols=names, deflate=deflate))
    (request,) = server.events_received()
    assert isinstance(request, OracleRequest)
    server.send_response(server.accept(request))
    (sent,) = server.data_to_send()
    agreed = check(answer(sent), KEY, subprotocols=names, deflate=deflate)
    assert agreed.subprotocol == "b"
    assert len(server.extensions) == (agreed.deflate is not None) == (deflate is not None)


VALUES = [None, b"", b"WebSocket", b"h2c", b"close, upgrade", b"close", b"13", b"8", b"c2hvcnQ="]


@pytest.mark.parametrize("name", [name for name, _ in SOUND[1:]])
@pytest.mark.parametrize("value", [*VALUES, SAMPLE.encode()])
def test_the_oracles_server_and_ours_refuse_the_same(name: bytes, value: bytes | None) -> None:
    request = opening(*[(name, value)] if value is not None else [], without=name)
    lines = b"".join(b"%b: %b\r\n" % pair for pair in request.headers)
    server = ServerProtocol()
    server.receive_data(b"GET /ws HTTP/1.1\r\n" + lines + b"\r\n")
    (event,) = server.events_received()
    assert isinstance(event, OracleRequest)
    answered = server.accept(event).status_code
    assert isinstance(read_offer(request), Offer) == (answered == 101)


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("ws://localhost", Target("ws", "localhost", 80, "/", False), "localhost"),
        ("WSS://Ex.Ample:443/a", Target("wss", "ex.ample", 443, "/a", True), "ex.ample"),
        ("http://a:8000?x=1#y", Target("http", "a", 8000, "/?x=1", False), "a:8000"),
        ("https://a/%41?b=ä", Target("https", "a", 443, "/%41?b=%C3%A4", True), "a"),
        ("ws://[::1]/", Target("ws", "::1", 80, "/", False), "[::1]"),
        ("wss://[2001:DB8::2]:8/", Target("wss", "2001:db8::2", 8, "/", True), "[2001:db8::2]:8"),
        ("ws://bücher.example/", Target("ws", "xn--bcher-kva.example", 80, "/", False),
         "xn--bcher-kva.example"),
        ("ws://a_b/", Target("ws", "a_b", 80, "/", False), "a_b"),
        ("ws://u@a/", Target("ws", "a", 80, "/", False, "u:"), "a"),
        ("ws://u:p%3A@a/", Target("ws", "a", 80, "/", False, "u:p:"), "a"),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart(url: str, target: Target, authority: str) -> None:
    assert parse_url(url) == target
    assert parse_url(url).authority == authority


def test_a_password_is_not_shown_where_a_target_is_printed() -> None:
    assert "secret" not in repr(parse_url("ws://ana:secret@localhost/"))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("localhost:8000", "must begin with ws:// or wss://, not 'localhost'"),
        ("/ws", "must begin with ws:// or wss://, not ''"),
        ("ftp://a", "must begin with ws://"),
        ("ws://", "no host"),
        ("ws:///path", "no host"),
        ("ws://a b/", "no spaces"),
        ("ws://a/\r\nX: y", "no spaces"),
        ("ws://a:port/", "malformed"),
        ("ws://a:99999/", "malformed"),
        ("ws://a:0/", "port 0"),
        ("ws://[::1", "malformed"),
        ("ws://[zz]/", "malformed"),
        ("ws://a%20b/", "host is malformed"),
        ("ws://" + "a" * 256, "host is malformed"),
        ("ws://" + "ä" * 300, "host is malformed"),
    ],
)
def test_a_bad_url_is_explained(url: str, text: str) -> None:
    with pytest.raises(BadUrl, match=re.escape(text)) as caught:
        parse_url(url)
    assert isinstance(caught.value, ValueError)


@given(st.text(), st.sampled_from(["", "ws://", "ws://a", "ws://["]))
def test_any_url_ends_in_a_target_that_can_be_asked_for_or_in_bad_url(text: str, lead: str) -> None:
    try:
        target = parse_url(lead + text)
    except BadUrl:
        return
    assert isinstance(read_offer(parse(handshake.request(target, KEY))), Offer)
