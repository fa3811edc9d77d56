"""permessage-deflate: header, negotiation, inflating under a limit, deflating (RFC 7692)."""

import itertools
import re
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeaderFormat, NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.headers import parse_extension

from anywire.errors import ProtocolError
from anywire.limits import Deflate
from anywire.net.deflate import (
    NAME,
    SMALLEST,
    Deflater,
    Extension,
    Inflater,
    PerMessageDeflate,
    answer_offers,
    deflate_alone,
    parse_extensions,
    read_answer,
    write_offer,
)

ALONE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
KEEPING = Deflate(keep_server=True, keep_client=True)


# The header (RFC 6455, 9.1)


@pytest.mark.parametrize(
    ("header", "extensions"),
    [
        ("", []),
        (" , ,\t", []),
        ("foo", [Extension("foo")]),
        ("foo,bar", [Extension("foo"), Extension("bar")]),
        (",foo,,bar,", [Extension("foo"), Extension("bar")]),
        (" foo ;\ta = 1 ; b", [Extension("foo", (("a", "1"), ("b", None)))]),
        ('foo; a="1"', [Extension("foo", (("a", "1"),))]),
        ('foo; a="\\1\\0"; b=x', [Extension("foo", (("a", "10"), ("b", "x")))]),
        ("foo; a; a=2", [Extension("foo", (("a", None), ("a", "2")))]),
        ("__proto__; constructor=1", [Extension("__proto__", (("constructor", "1"),))]),
        (ALONE, [Extension(NAME, tuple((word, None) for word in ALONE.split("; ")[1:]))]),
    ],
)
def test_a_header_is_read_into_extensions(header: str, extensions: list[Extension]) -> None:
    assert parse_extensions(header) == extensions


@pytest.mark.parametrize(
    "header",
    [
        *("foo;", "foo;;a", "foo; a=", "foo; =1", ";", "=", "foo=1", "foo bar", "foo; a b"),
        *('foo; a="', 'foo; a="1', 'foo; a="1"x', 'foo; a=""', 'foo; a="1 2"', 'foo; a="\\"'),
        *("foo; a=1=2", "foo; a=é", "fo\x00o", "foo; a=\r\n1", "foo;,bar", '"foo"', "foo; , a"),
        'foo; a="\\\n"',
    ],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(ProtocolError):
        parse_extensions(header)


@given(st.text(alphabet='ab=;," \t\\\x00é', max_size=30) | st.text(max_size=30))
def test_any_header_is_read_or_refused_as_the_oracle_does(header: str) -> None:
    try:
        ours = [(one.name, list(one.params)) for one in parse_extensions(header)]
    except ProtocolError:
        ours = None
    # On purpose: where the oracle takes an escape in quotes for text, we read what it stands for.
    if "\\" in header:
        return
    header = header.strip(" \t")  # as the layer below the oracle does
    try:
        theirs = parse_extension(header) if header.strip(" \t,") else []
    except InvalidHeaderFormat:
        theirs = None
    assert ours == theirs


@pytest.mark.parametrize(
    "header",
    [
        NAME + "; a" * 10_000,
        NAME + "; __proto__=1" * 10_000,
        ", ".join([NAME + "; x=1"] * 10_000),
        NAME + "; a=" + '"' * 60_001,
        NAME + '; a="' + "\\" * 60_000,
        NAME + '; a="' + "x" * 60_000,
        NAME + " " * 60_000 + "x",
        "a" * 60_000 + " " * 60_000 + "=",
        "," * 60_000 + ";",
    ],
)
def test_a_hostile_header_costs_time_in_line_with_its_length(header: str) -> None:
    def read() -> None:
        try:
            offers = parse_extensions(header)
        except ProtocolError:
            return
        assert answer_offers(Deflate(), offers) == (None, None)

    read()


# A server's side of the negotiation (RFC 7692, 5 and 7.1)


@pytest.mark.parametrize(
    ("options", "offer", "answer", "agreed"),
    [
        (Deflate(), "", ALONE, PerMessageDeflate()),
        (Deflate(), "client_max_window_bits", ALONE, PerMessageDeflate()),
        (Deflate(), "client_max_window_bits=15", ALONE, PerMessageDeflate()),
        (
            Deflate(),
            "client_max_window_bits=10",
            ALONE + "; client_max_window_bits=10",
            PerMessageDeflate(receive_bits=10),
        ),
        # zlib reads with 9 bits what was made with 8. The offer binds the client without an answer.
        (Deflate(), "client_max_window_bits=8", ALONE, PerMessageDeflate(receive_bits=9)),
        (
            Deflate(client_bits=9),
            "client_max_window_bits=8",
            ALONE,
            PerMessageDeflate(receive_bits=9),
        ),
        # A limit on the client's window that the client did not offer to keep cannot be asked for.
        (Deflate(client_bits=11), "", ALONE, PerMessageDeflate()),
        (
            Deflate(client_bits=11),
            "client_max_window_bits",
            ALONE + "; client_max_window_bits=11",
            PerMessageDeflate(receive_bits=11),
        ),
        (
            Deflate(),
            "server_max_window_bits=15",
            ALONE + "; server_max_window_bits=15",
            PerMessageDeflate(),
        ),
        (
            Deflate(),
            'server_max_window_bits="9"',
            ALONE + "; server_max_window_bits=9",
            PerMessageDeflate(send_bits=9),
        ),
        (
            Deflate(server_bits=12),
            "",
            ALONE + "; server_max_window_bits=12",
            PerMessageDeflate(send_bits=12),
        ),
        (
            Deflate(server_bits=12),
            "server_max_window_bits=14",
            ALONE + "; server_max_window_bits=12",
            PerMessageDeflate(send_bits=12),
        ),
        (KEEPING, "", NAME, PerMessageDeflate(keep_sent=True, keep_received=True)),
        (
            KEEPING,
            "server_no_context_takeover",
            NAME + "; server_no_context_takeover",
            PerMessageDeflate(keep_received=True),
        ),
        (
            KEEPING,
            "client_no_context_takeover",
            NAME + "; client_no_context_takeover",
            PerMessageDeflate(keep_sent=True),
        ),
    ],
)
def test_an_offer_is_accepted(
    options: Deflate, offer: str, answer: str, agreed: PerMessageDeflate
) -> None:
    header = f"{NAME}; {offer}" if offer else NAME
    assert answer_offers(options, parse_extensions(header)) == (answer, agreed)


WRONG_TERMS = [
    *("foo", "foo=1", "server_no_context_takeover=1", "client_no_context_takeover=1"),
    *("server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=09"),
    *("client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=x"),
    *("server_max_window_bits", "server_max_window_bits=+9", "client_max_window_bits=1e1"),
    "server_no_context_takeover; server_no_context_takeover",
    "client_max_window_bits=10; client_max_window_bits=10",
    "Server_No_Context_Takeover",
]


@pytest.mark.parametrize("terms", [*WRONG_TERMS, "server_max_window_bits=8"])
def test_an_offer_with_a_wrong_or_impossible_term_is_declined_for_the_next(terms: str) -> None:
    assert answer_offers(Deflate(), parse_extensions(f"{NAME}; {terms}")) == (None, None)
    both = parse_extensions(f"x-webkit-deflate-frame, {NAME}; {terms}, {NAME}")
    assert answer_offers(Deflate(), both) == (ALONE, PerMessageDeflate())


def test_other_extensions_are_not_answered() -> None:
    assert answer_offers(Deflate(), []) == (None, None)
    assert answer_offers(Deflate(), parse_extensions("foo, permessage-bzip2")) == (None, None)


# A client's side


@pytest.mark.parametrize(
    ("options", "offer"),
    [
        (Deflate(), ALONE + "; client_max_window_bits"),
        (KEEPING, NAME + "; client_max_window_bits"),
        (
            Deflate(server_bits=10, client_bits=11),
            ALONE + "; server_max_window_bits=10; client_max_window_bits=11",
        ),
    ],
)
def test_a_client_offers_its_options(options: Deflate, offer: str) -> None:
    assert write_offer(options) == offer


@pytest.mark.parametrize("header", [None, "", " "])
def test_a_client_goes_without_when_the_server_took_nothing(header: str | None) -> None:
    assert read_answer(Deflate(), header) is None


@pytest.mark.parametrize(
    ("options", "answer", "agreed"),
    [
        (Deflate(), ALONE, PerMessageDeflate()),
        (
            Deflate(),
            NAME + "; server_no_context_takeover",
            PerMessageDeflate(),
        ),
        (KEEPING, NAME, PerMessageDeflate(keep_sent=True, keep_received=True)),
        (KEEPING, ALONE, PerMessageDeflate()),
        (
            Deflate(),
            ALONE + "; server_max_window_bits=8; client_max_window_bits=10",
            PerMessageDeflate(send_bits=10, receive_bits=9),
        ),
        (Deflate(client_bits=11), ALONE, PerMessageDeflate(send_bits=11)),
        (
            Deflate(server_bits=12),
            ALONE + "; server_max_window_bits=11",
            PerMessageDeflate(receive_bits=11),
        ),
        # zlib has no such window: we then never compress, which is always allowed.
        (Deflate(), ALONE + "; client_max_window_bits=8", PerMessageDeflate(send_bits=0)),
    ],
)
def test_a_client_confirms_what_fits_its_offer(
    options: Deflate, answer: str, agreed: PerMessageDeflate
) -> None:
    assert read_answer(options, answer) == agreed


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (Deflate(), "foo"),
        (Deflate(), f"{ALONE}, {ALONE}"),
        (Deflate(), f"{ALONE}, foo"),
        (Deflate(), "foo;"),
        (Deflate(), NAME),
        (Deflate(), ALONE + "; client_max_window_bits"),
        (Deflate(client_bits=10), ALONE + "; client_max_window_bits=11"),
        (Deflate(server_bits=10), ALONE + "; server_max_window_bits=11"),
        (Deflate(server_bits=10), ALONE),
        *((KEEPING, f"{NAME}; {terms}") for terms in WRONG_TERMS),
    ],
)
def test_a_client_fails_on_an_answer_that_does_not_fit(options: Deflate, answer: str) -> None:
    with pytest.raises(ProtocolError):
        read_answer(options, answer)


@pytest.mark.parametrize("bits", [0, 8, 16])
def test_a_window_zlib_does_not_have_is_refused_as_an_option(bits: int) -> None:
    with pytest.raises(ValueError, match=f"9 to 15 bits, not {bits}"):
        Deflate(server_bits=bits)
    with pytest.raises(ValueError, match=f"9 to 15 bits, not {bits}"):
        Deflate(client_bits=bits)


ENDS = [
    Deflate(server_bits=server, client_bits=client, keep_server=keep, keep_client=not keep)
    for server, client, keep in itertools.product((9, 12, 15), (9, 13, 15), (False, True))
]


@pytest.mark.parametrize(("server", "client"), list(itertools.product([*ENDS[::3], KEEPING], ENDS)))
def test_our_two_ends_agree_on_the_same_terms(server: Deflate, client: Deflate) -> None:
    header, ours = answer_offers(server, parse_extensions(write_offer(client)))
    theirs = read_answer(client, header)
    assert ours is not None
    assert theirs is not None
    assert (ours.receive_bits, ours.keep_received) == (theirs.send_bits, theirs.keep_sent)
    assert (ours.send_bits, ours.keep_sent) == (theirs.receive_bits, theirs.keep_received)


FLAGS = st.booleans()
BITS = st.none() | st.integers(9, 15)


@given(FLAGS, FLAGS, BITS, BITS | st.just(True), st.sampled_from([*ENDS, KEEPING]))
def test_the_oracles_client_agrees_with_our_answer(
    server_alone: bool,
    client_alone: bool,
    server_bits: int | None,
    client_bits: int | None,
    options: Deflate,
) -> None:
    factory = ClientPerMessageDeflateFactory(server_alone, client_alone, server_bits, client_bits)
    params = tuple((str(name), value) for name, value in factory.get_request_params())
    header, agreed = answer_offers(options, [Extension(NAME, params)])
    assert header is not None
    assert agreed is not None
    ((_, answer),) = parse_extension(header)
    theirs = factory.process_response_params(answer, [])
    assert theirs.remote_max_window_bits == agreed.send_bits
    assert theirs.remote_no_context_takeover is not agreed.keep_sent
    assert theirs.local_no_context_takeover is not agreed.keep_received
    assert theirs.local_max_window_bits <= agreed.receive_bits


@given(FLAGS, FLAGS, BITS, BITS, FLAGS, st.sampled_from([*ENDS, KEEPING]))
def test_our_client_agrees_with_the_oracles_answer(
    server_alone: bool,
    client_alone: bool,
    server_bits: int | None,
    client_bits: int | None,
    require: bool,
    options: Deflate,
) -> None:
    factory = ServerPerMessageDeflateFactory(
        server_alone,
        client_alone,
        server_bits,
        client_bits,
        require_client_max_window_bits=require and client_bits is not None,
    )
    ((_, params),) = parse_extension(write_offer(options))
    try:
        answer, theirs = factory.process_request_params(params, [])
    except NegotiationError:
        return
    header = "; ".join([NAME, *(f"{n}={v}" if v else n for n, v in answer)])
    agreed = read_answer(options, header)
    assert agreed is not None
    assert theirs.local_max_window_bits == agreed.receive_bits
    assert theirs.local_no_context_takeover is not agreed.keep_received
    assert theirs.remote_no_context_takeover is not agreed.keep_sent
    assert theirs.remote_max_window_bits >= agreed.send_bits


# Inflating (RFC 7692, 7.2.2)


def deflated(data: bytes, bits: int = 15) -> bytes:
    stream = zlib.compressobj(wbits=-bits)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data: bytes, limit: int = 1000) -> bytes:
    return Inflater(15, keep=False).inflate(data, limit=limit, is_last=True)


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        # The examples of RFC 7692, 7.2.3.
        ("f248cdc9c90700", b"Hello"),
        ("000500faff48656c6c6f00", b"Hello"),
        ("f348cdc9c9070000", b"Hello"),
        ("f248050000 00ffff cac9c90700", b"Hello"),
        ("00", b""),
        ("", b""),
    ],
)
def test_the_examples_of_the_specification_are_inflated(payload: str, content: bytes) -> None:
    assert inflate(bytes.fromhex(payload)) == content


def test_a_kept_window_serves_the_second_message_as_in_the_specification() -> None:
    kept = Inflater(15, keep=True)
    for payload in ("f248cdc9c90700", "f200110000"):
        assert kept.inflate(bytes.fromhex(payload), limit=9, is_last=True) == b"Hello"
    alone = Inflater(15, keep=False)
    assert alone.inflate(bytes.fromhex("f248cdc9c90700"), limit=9, is_last=True) == b"Hello"
    with pytest.raises(ProtocolError, match="not a deflate stream"):
        alone.inflate(bytes.fromhex("f200110000"), limit=9, is_last=True)


def test_a_kept_window_outlives_a_stream_that_ended() -> None:
    kept = Inflater(15, keep=True)
    ended = bytes.fromhex("f348cdc9c9070000")
    for _ in range(100):
        assert kept.inflate(ended, limit=5, is_last=True) == b"Hello"


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=5), st.integers(9, 15))
def test_a_message_is_inflated_over_any_fragments(data: bytes, cuts: list[int], bits: int) -> None:
    packed = deflated(data * 3, bits)
    inflater = Inflater(bits, keep=False)
    content = b""
    at = 0
    for cut in sorted(min(cut, len(packed)) for cut in cuts):
        content += inflater.inflate(packed[at:cut], limit=9000, is_last=False)
        at = cut
    content += inflater.inflate(packed[at:], limit=9000, is_last=True)
    assert content == data * 3


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_content_up_to_the_limit_is_inflated(size: int) -> None:
    assert inflate(deflated(b"x" * size)) == b"x" * size


@pytest.mark.parametrize("size", [1001, 1002, 40_000])
def test_content_past_the_limit_is_refused(size: int) -> None:
    for data in (b"x" * size, bytes(i * i % 251 for i in range(size))):
        with pytest.raises(ProtocolError) as caught:
            inflate(deflated(data))
        assert caught.value.code == 1009


def test_content_past_the_limit_is_refused_across_ended_streams() -> None:
    stream = zlib.compressobj(wbits=-15)
    ended = stream.compress(b"x" * 600) + stream.flush(zlib.Z_FINISH)
    assert inflate(ended + b"\x00") == b"x" * 600
    assert inflate(ended * 2 + b"\x00", 1200) == b"x" * 1200
    with pytest.raises(ProtocolError) as caught:
        inflate(ended * 2 + b"\x00")
    assert caught.value.code == 1009


def test_a_message_of_many_ended_streams_is_refused_before_it_costs() -> None:
    assert inflate(b"\x03\x00" * 8 + b"\x00") == b""

    def many() -> None:
        with pytest.raises(ProtocolError) as caught:
            inflate(b"\x03\x00" * 500_000)
        assert caught.value.code == 1002

    many()


def test_ends_of_streams_are_counted_by_the_message() -> None:
    inflater = Inflater(15, keep=False)
    for _ in range(20):
        assert inflater.inflate(b"\x03\x00" * 4, limit=1, is_last=False) == b""
        assert inflater.inflate(b"\x03\x00" * 4 + b"\x00", limit=1, is_last=True) == b""
    inflater.inflate(b"\x03\x00" * 8, limit=1, is_last=False)
    with pytest.raises(ProtocolError):
        inflater.inflate(b"\x03\x00", limit=1, is_last=False)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x07", b"\x00\x01\x02\x03\x04\x05"])
def test_what_is_no_deflate_stream_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a deflate stream") as caught:
        inflate(payload)
    assert caught.value.code == 1002


def test_a_bomb_is_refused_within_twice_the_limit_of_memory() -> None:
    limit = 1 << 20
    bomb = deflated(b"\x00" * (10 << 20))
    tracemalloc.start()
    with pytest.raises(ProtocolError) as caught:
        inflate(bomb, limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == 1009
    assert peak < 2 * limit + 4 * len(bomb) + (40 << 10)  # the window is zlib's own


# Deflating


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=5), st.integers(9, 15))
def test_a_kept_window_makes_messages_that_its_reader_understands(
    parts: list[bytes], bits: int
) -> None:
    deflater, inflater = Deflater(bits), Inflater(bits, keep=True)
    for part in parts:
        data = part * 3
        packed = deflater.deflate(data)
        assert inflater.inflate(packed, limit=len(data), is_last=True) == data


def test_a_kept_window_makes_repeated_messages_small() -> None:
    deflater = Deflater(15)
    data = bytes(i * i % 251 for i in range(300))
    assert len(deflater.deflate(data)) > 100
    assert len(deflater.deflate(data)) < 20


@given(st.lists(st.binary(min_size=100, max_size=120), max_size=5), st.integers(9, 15))
def test_each_message_deflated_alone_is_readable_alone(parts: list[bytes], bits: int) -> None:
    for part in [*parts, *parts]:
        data = part * 3
        packed = deflate_alone(data, bits)
        assert packed is not None
        content = Inflater(bits, keep=False).inflate(packed, limit=len(data), is_last=True)
        assert content == data


def test_what_is_small_or_does_not_shrink_is_not_deflated() -> None:
    assert deflate_alone(b"x" * (SMALLEST - 1), 15) is None
    assert deflate_alone(b"x" * SMALLEST, 15) is not None
    assert deflate_alone(bytes(range(256)), 15) is None


def test_the_default_offer_of_browsers_is_met_without_kept_windows() -> None:
    header, agreed = answer_offers(Deflate(), parse_extensions(f"{NAME}; client_max_window_bits"))
    assert header == ALONE
    assert agreed == PerMessageDeflate()
    assert not re.search(r"bits", header)
