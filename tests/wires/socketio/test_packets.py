"""Socket.IO packets, as they are read."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import Want
from anywire.limits import Limits
from anywire.wires.socketio.packets import RESERVED, Packet, attach, parse, plain_event

LIMITS = Limits()
PLACE = '{"_placeholder":true,"num":%d}'


def parsed(text: str) -> Packet:
    return parse(text, LIMITS)


def code(text: str, limits: Limits = LIMITS) -> int:
    """The close code of what breaks the rules."""
    with pytest.raises(ProtocolError) as caught:
        parse(text, limits)
    return caught.value.code


def filled(text: str, *attachments: bytes) -> list[Any]:
    """The arguments of a packet whose attachments have come."""
    packet = parsed(text)
    assert [attach(packet, each, LIMITS) for each in attachments] == [
        *[False] * (len(attachments) - 1),
        True,
    ]
    return list(packet.args.values())


# --- what a packet is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "namespace", "id", "event", "args"),
    [
        ('2["a"]', "2", "/", None, "a", []),
        ('2["a",1]', "2", "/", None, "a", [1]),
        ('2["a",1,"b",{"c":[null]}]', "2", "/", None, "a", [1, "b", {"c": [None]}]),
        ('2/chat,["a",1]', "2", "/chat", None, "a", [1]),
        ('2/chat,12["a",1]', "2", "/chat", 12, "a", [1]),
        ('212["a"]', "2", "/", 12, "a", []),
        ('20["a"]', "2", "/", 0, "a", []),
        ('21234567890123456["a"]', "2", "/", 1234567890123456, "a", []),
        ('2/,["a"]', "2", "/", None, "a", []),
        ('2/a/b?c=d,["a"]', "2", "/a/b?c=d", None, "a", []),
        ('2/a["b",["a"]', "2", '/a["b"', None, "a", []),
        ("3/chat,12[]", "3", "/chat", 12, "", []),
        ('30["a",{}]', "3", "/", 0, "", ["a", {}]),
        ("0", "0", "/", None, "", [{}]),
        ("0/chat", "0", "/chat", None, "", [{}]),
        ("0/chat,", "0", "/chat", None, "", [{}]),
        ('0{"token":"x"}', "0", "/", None, "", [{"token": "x"}]),
        ('0/chat,{"token":"x"}', "0", "/chat", None, "", [{"token": "x"}]),
        ("0/chat?token=x,{}", "0", "/chat?token=x", None, "", [{}]),
        ("1", "1", "/", None, "", []),
        ("1/chat,", "1", "/chat", None, "", []),
        ("1/chat", "1", "/chat", None, "", []),
        ("4", "4", "/", None, "", [None]),
        ('4/chat,{"message":"no"}', "4", "/chat", None, "", [{"message": "no"}]),
    ],
)
def test_a_packet_is_kind_namespace_id_and_payload(
    text: str, kind: str, namespace: str, id: int | None, event: str, args: list[Any]
) -> None:
    packet = parsed(text)
    assert (packet.kind, packet.namespace, packet.id) == (kind, namespace, id)
    assert packet.event == event
    assert list(packet.args.values()) == args
    assert packet.attachments == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('2[""]', ""),
        ("2[1]", "1"),
        ("2[0,1]", "0"),
        ("2[-7]", "-7"),
        ("2[9007199254740993]", "9007199254740993"),
        ('2["1"]', "1"),
        ('2["__proto__"]', "__proto__"),
        ('2["constructor",1]', "constructor"),
        ('2["__class__"]', "__class__"),
        ('2["error"]', "error"),
        ('2["\\n\\u0000"]', "\n\x00"),
        ('2["\\u00e9\u2028"]', "é\u2028"),
        ('2["message"]', "message"),
    ],
)
def test_a_name_is_any_text_or_a_number(text: str, name: str) -> None:
    assert parsed(text).event == name


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_name_that_means_something_to_the_library_itself_breaks_the_rules(name: str) -> None:
    assert code(f'2["{name}",1]') == 4400
    assert code(f'2["\\u{ord(name[0]):04x}{name[1:]}"]') == 4400
    assert code(f'51-["{name}"]') == 4400
    assert plain_event(f'42["{name}",1]', LIMITS) is None


@pytest.mark.parametrize(
    "name", ["null", "true", "[]", '["a"]', "{}", '{"a":1}', "1.5", "1e3", "[1]"]
)
def test_a_name_that_is_neither_breaks_the_rules(name: str) -> None:
    assert code(f"2[{name},1]") == 4400


@pytest.mark.parametrize(
    "text",
    [
        "", "7", "9", "a", " 2", "\u0662", "-1",
        "2", "2{}", "2[]", '2"a"', "2null", "2[", '2["a"', '2["a",]', '2["a"]x', "2['a']",
        '2["a"]["b"]', '2["a",NaN]', '2["a",Infinity]', '2["a",01]', '2["a",+1]', '2["a",.5]',
        '2["a","\\x"]', '2["a","\n"]', '2["a\n"]', '2["a"]\x00', '2/chat["a"]', "2/chat", "2/chat,",
        '2-1["a"]', '2+1["a"]', '21.5["a"]', '20x1["a"]', '2 1["a"]', '21_0["a"]', '2\u0663["a"]',
        "3", "3[]", "31", "31{}", '31"x"', "31null", "3/chat,[]",
        "0[]", "0null", '0"x"', "01x", '0{"a"}', '0{"a":NaN}', "0/chat,[]", "0{}x",
        "1[]", "1{}", "1/chat,{}", "1 ",
    ],
)  # fmt: skip
def test_what_is_no_packet_breaks_the_rules(text: str) -> None:
    assert code(text) == 4400
    assert _plain_says(f"4{text}") is None


def _plain_says(message: str) -> str | None:
    """The name of the event that the short way finds."""
    try:
        found = plain_event(message, LIMITS)
    except ProtocolError:
        return None
    return None if found is None else found.event


def test_an_id_has_a_bounded_number_of_digits() -> None:
    assert parsed(f'2{"9" * 16}["a"]').id == int("9" * 16)
    for digits in (17, 18, 400):
        assert code(f'2{"9" * digits}["a"]') == 4400
        assert code(f'3{"9" * digits}["a"]') == 4400
        assert plain_event(f'42{"9" * digits}["a"]', LIMITS) is None


@pytest.mark.parametrize("kind", ['2["a",%s]', "31[%s]", '51-["a",%s]', '0{"a":%s}'])
def test_a_payload_has_a_bounded_depth(kind: str) -> None:
    limits = Limits(nesting=4)
    parse(kind % "[[[[]]]]", limits)
    assert code(kind % "[[[[[]]]]]", limits) == 4400
    assert code(kind % ("[" * 100_000), limits) == 4400


def test_an_event_of_a_bounded_depth_is_left_to_who_says_why() -> None:
    limits = Limits(nesting=4)
    assert plain_event('42["a",[[[[]]]]]', limits) is not None
    assert plain_event('42["a",[[[[[]]]]]]', limits) is None


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "args"),
    [
        ('["a", 1 , 2 ]', [1, 2]),
        ('[ "a",1]', [1]),
        ('[  ",",1]', [1]),
        ('[   ",,,",",",2]', [",", 2]),
        ('["a" ,1]', [1]),
        ('[\t"a"\n,\r1]', [1]),
        ('["é",1]', [1]),
        ('["\\u00e9",1]', [1]),
        ('["é", "ü"]', ["ü"]),
        ("[7,1]", [1]),
        ("[ 7 , 1 ]", [1]),
        ('["a,b]",1]', [1]),
        ('["a\\"",1]', [1]),
        ('["a",123456789012345678901234567890,1e-400,-0]', [123456789012345678901234567890, 0, 0]),
    ],
)
def test_arguments_are_what_stands_behind_the_name(payload: str, args: list[Any]) -> None:
    assert list(parsed(f"2{payload}").args.values()) == args


def test_arguments_stay_as_they_were_written() -> None:
    packet = parsed('2["a",{"b" : 1.50}]')
    assert packet.args.raw == '[{"b" : 1.50}]'
    assert (packet.args.form, packet.args.shape) == (Form.JSON, Shape.LIST)


@pytest.mark.parametrize(
    ("message", "alias", "event", "args", "ref"),
    [
        ('42["a"]', "/", "a", [], None),
        ('42["a",1]', "/", "a", [1], None),
        ('42/chat,["a",{"b":1}]', "/chat", "a", [{"b": 1}], None),
        ('42/chat,12["a",1,2]', "/chat", "a", [1, 2], 12),
        ('4212["a"]', "/", "a", [], 12),
        ('42["é\u2028",1]', "/", "é\u2028", [1], None),
        ('42["__proto__",1]', "/", "__proto__", [1], None),
        ('42["",1]', "/", "", [1], None),
    ],
)
def test_an_event_as_clients_write_it_is_read_the_short_way(
    message: str, alias: str, event: str, args: list[Any], ref: int | None
) -> None:
    found = plain_event(message, LIMITS)
    assert found is not None
    assert (found.alias, found.event, found.ref) == (alias, event, ref)
    assert found.want is (Want.NOTHING if ref is None else Want.REPLY)
    assert list(found.args.body().values) == args


@pytest.mark.parametrize(
    "message",
    [
        '42[ "a"]',
        '42["\\u0061"]',
        "42[1]",
        '451-["a"]',
        "40",
        "41",
        "431[]",
        "44",
        '42["a"] ',
        "42",
    ],
)
def test_everything_else_is_read_the_long_way(message: str) -> None:
    assert plain_event(message, LIMITS) is None


@pytest.mark.parametrize("args", ["NaN]", "1", "1]]", "]", "1],2]", '"\\x"]', '"\n"]', "1]x"])
def test_arguments_that_are_no_json_break_the_rules_on_both_ways(args: str) -> None:
    assert code(f'2["a",{args}') == 4400
    with pytest.raises(ProtocolError) as caught:
        plain_event(f'42["a",{args}', LIMITS)
    assert caught.value.code == 4400


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
namespaces = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), max_size=8)


@given(
    namespace=st.none() | namespaces,
    id=st.none() | st.integers(0, 10**16 - 1),
    name=st.text(max_size=6) | st.integers(),
    args=st.lists(values, max_size=3),
    spaces=st.booleans(),
    escapes=st.booleans(),
)
def test_both_ways_of_reading_an_event_agree(
    namespace: str | None,
    id: int | None,
    name: str | int,
    args: list[Any],
    spaces: bool,
    escapes: bool,
) -> None:
    where = "" if namespace is None else f"/{namespace},"
    number = "" if id is None else str(id)
    separators = (", ", ": ") if spaces else (",", ":")
    payload = json.dumps([name, *args], ensure_ascii=escapes, separators=separators)
    packet = parsed(f"2{where}{number}{payload}")
    told = (packet.namespace, packet.id, packet.event, list(packet.args.values()))
    assert told == (where[:-1] or "/", id, str(name), args)
    plain = plain_event(f"42{where}{number}{payload}", LIMITS)
    if plain is not None:
        assert (plain.alias, plain.ref, plain.event, list(plain.args.body().values)) == told


# --- attachments ----------------------------------------------------------------------------------


def test_attachments_are_counted_and_come_in_their_order() -> None:
    packet = parsed(f'52-/chat,7["a",{PLACE % 1},{{"b":[{PLACE % 0}]}}]')
    assert (packet.kind, packet.namespace, packet.id) == ("5", "/chat", 7)
    assert packet.attachments == 2
    assert not attach(packet, b"first", LIMITS)
    assert attach(packet, b"", LIMITS)
    assert list(packet.args.values()) == [b"", {"b": [b"first"]}]


def test_an_acknowledgement_may_have_attachments() -> None:
    assert filled(f"61-0[{PLACE % 0}]", b"\x00") == [b"\x00"]
    assert filled(f"61-/chat,0[1,{PLACE % 0}]", b"\x00") == [1, b"\x00"]


def test_no_attachments_are_none() -> None:
    for text in ('50-["a",1]', '50-/chat,["a",1]'):
        packet = parsed(text)
        assert (packet.attachments, list(packet.args.values())) == (0, [1])
    assert list(parsed("60-1[2]").args.values()) == [2]


def test_an_attachment_may_stand_in_several_places_or_in_none() -> None:
    assert filled(f'51-["a",{PLACE % 0},{PLACE % 0}]', b"x") == [b"x", b"x"]
    assert filled('51-["a",1]', b"x") == [1]
    assert filled('51-["a"]', b"x") == []


@pytest.mark.parametrize(
    "place",
    [
        '{"_placeholder":true,"num":0}',
        '{"num":0,"_placeholder":true}',
        '{ "_placeholder" : true , "num" : 0 }',
        '{\t"num":\n0,\r\n"_placeholder": true}',
    ],
)
def test_a_place_may_be_written_in_any_order_and_spacing(place: str) -> None:
    assert filled(f'51-["é",{place},"é",{{"deep":[{place}]}}]', b"x") == [
        b"x",
        "é",
        {"deep": [b"x"]},
    ]


@pytest.mark.parametrize(
    "place",
    [
        '{"_placeholder":true,"num":1}',
        '{"_placeholder":true,"num":999999999}',
        '{"_placeholder":true,"num":9999999999}',
        '{"_placeholder":true,"num":-1}',
        '{"_placeholder":true,"num":1e9}',
        '{"_placeholder":true,"num":0.5}',
        '{"_placeholder":true,"num":"0"}',
        '{"_placeholder":true,"num":null}',
        '{"_placeholder":true}',
        '{"num":7,"_placeholder":true}',
    ],
)
def test_a_place_of_no_attachment_breaks_the_rules(place: str) -> None:
    packet = parsed(f'51-["a",{place}]')
    with pytest.raises(ProtocolError) as caught:
        attach(packet, b"x", LIMITS)
    assert caught.value.code == 4400


@pytest.mark.parametrize(
    "value",
    [
        PLACE % 0,
        "_placeholder",
        '"_placeholder":true',
        '{"_placeholder":true,"num":9}',
        "\\" + PLACE % 0,
        "{",
        '{ "',
        {"_placeholder": False, "num": 0},
        {"_placeholder": 1, "num": 0},
        {"_placeholder": "true", "num": 0},
        {"_Placeholder": True, "num": 0},
        {"num": 0},
    ],
)
def test_what_only_looks_like_a_place_is_data(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, separators=(",", ":"))):
        assert filled(f'51-["a",{text},{PLACE % 0},{text}]', b"x") == [value, b"x", value]


@pytest.mark.parametrize(
    "text",
    ["5", "5-", '5["a"]', '5-["a"]', '5-1-["a"]', '51["a"]', '51.5-["a"]', '5 1-["a"]', "6", "61[]",
     '5\u0663-["a"]', '51/chat,-["a"]', "51-", "51-[]", "51-{}", "61-[]", "61-1", '5+1-["a"]'],
)  # fmt: skip
def test_a_packet_whose_attachments_are_not_counted_breaks_the_rules(text: str) -> None:
    assert code(text) == 4400


def test_there_is_a_bound_of_attachments_and_of_their_bytes() -> None:
    limits = Limits(attachments=2, message=10)
    assert parse('52-["a"]', limits).attachments == 2
    for count in (3, 100, 999_999_999):
        assert code(f'5{count}-["a"]', limits) == 1009
    assert code(f'5{10**9}-["a"]', limits) == 4400
    packet = parse('52-["a"]', limits)
    attach(packet, b"12345", limits)
    assert attach(packet, b"12345", limits)
    packet = parse('52-["a"]', limits)
    attach(packet, b"12345", limits)
    with pytest.raises(ProtocolError) as caught:
        attach(packet, b"123456", limits)
    assert caught.value.code == 1009


# --- junk -----------------------------------------------------------------------------------------

ALPHABET = '0123456/,-[]{}":ab_ \\\n\u0663é'


@given(st.text(max_size=30) | st.text(ALPHABET, max_size=30))
def test_any_text_is_a_packet_or_a_protocol_error(text: str) -> None:
    for read in (parsed, lambda text: plain_event(f"4{text}", LIMITS)):
        try:
            read(text)
        except ProtocolError as error:
            assert error.code in (4400, 1009)


@given(
    payload=st.text('{}[]":,_placehodrtunm0123 \\é\n', max_size=60),
    attachments=st.lists(st.binary(max_size=3), min_size=1, max_size=3),
)
def test_any_places_are_filled_or_a_protocol_error(payload: str, attachments: list[bytes]) -> None:
    try:
        packet = parsed(f'5{len(attachments)}-["a",{payload}{PLACE % 0}]')
        whole = [attach(packet, each, LIMITS) for each in attachments]
    except ProtocolError:
        return
    assert whole == [*[False] * (len(attachments) - 1), True]
    with suppress(ValueError):  # a key may stand twice
        packet.args.values()
