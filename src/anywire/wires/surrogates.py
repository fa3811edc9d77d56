"""Surrogates: half of a pair in a client's JSON is read as U+FFFD.

A string of JavaScript may end in the middle of an emoji (`"😀".slice(0, 1)`). `JSON.stringify`
writes that half as an escape, which is no Unicode, and would end the connection; as plain text a
WebSocket would have sent U+FFFD in its place (WHATWG, USVString).
"""

import re

_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})"  # a half
    r"|.)",
    re.DOTALL,
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def whole(text: str) -> str | None:
    """This JSON text with U+FFFD in the place of each half; None where there is no half."""
    if _HALF.search(text) is None:
        return None
    mended = _ESCAPES.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    return None if mended == text else mended
