"""Nesting: how deep the arrays and objects of a text go, without decoding it.

Decoders recurse, and so do handlers; a bound on depth is checked first (`Limits.nesting`).
"""

import re

_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_CONTAINERS = bytes(range(0x80, 0xA0)) + bytes(range(0xDC, 0xE0))
_SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_COUNTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def is_too_deep_json(text: str | bytes, limit: int) -> bool:
    """Whether a JSON text nests deeper than `limit`; what is no JSON may get either answer."""
    if isinstance(text, str):
        if text.count("[") + text.count("{") <= limit:
            return False
        text = text.encode()
    elif text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for token in _JSON_TOKEN.finditer(text):
        first = text[token.start()]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def is_too_deep_msgpack(data: bytes, limit: int) -> bool:
    """Whether MessagePack nests deeper than `limit`; truncated data may get either answer."""
    if len(data) - len(data.translate(None, _CONTAINERS)) <= limit:
        return False
    open_items: list[int] = [1]  # items still to come on each level
    at = 0
    while at < len(data):
        while open_items and open_items[-1] == 0:
            open_items.pop()
        if not open_items:
            return False  # bytes after the value: the decoder says so
        open_items[-1] -= 1
        first = data[at]
        at += 1
        children = -1
        if 0x80 <= first <= 0x8F:
            children = 2 * (first & 0x0F)
        elif first <= 0x9F and first >= 0x90:
            children = first & 0x0F
        elif 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _COUNTS:
            size, per_entry = _COUNTS[first]
            children = per_entry * int.from_bytes(data[at : at + size], "big")
            at += size
        elif first in _SIZES:
            size = _SIZES[first]
            at += size + int.from_bytes(data[at : at + size], "big") + (0xC7 <= first <= 0xC9)
        else:
            at += _FIXED.get(first, 0)
        if children >= 0:
            open_items.append(children)
            if len(open_items) - 1 > limit:
                return True
    return False
