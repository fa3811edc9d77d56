"""Presence in Phoenix's words: metas by key, each with a `phx_ref` that tells equal ones apart.

Phoenix.Presence: `{"ana":{"metas":[{"on":"phone","phx_ref":"F5x"}]}}` is who is here, and
`{"joins":{…},"leaves":{…}}` who came and went. A meta that was changed left and came in one step:
the new one names the old one's ref as `phx_ref_prev`. Keys are anything: `__proto__` is a name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from anywire.errors import ProtocolError
from anywire.frames import Presence
from anywire.payload import Message

REF, PREVIOUS = "phx_ref", "phx_ref_prev"

_json = msgspec.json.Encoder().encode


class _Metas(msgspec.Struct):
    metas: list[Any]


class _Diff(msgspec.Struct):
    joins: dict[str, _Metas]
    leaves: dict[str, _Metas]


_state = msgspec.json.Decoder(dict[str, _Metas]).decode
_diff = msgspec.json.Decoder(_Diff).decode


# --- what is said ---------------------------------------------------------------------------------


def state(change: Presence) -> bytes:
    """Who is here, as JSON."""
    return _json(_listed(change.joined, change.joined_refs, {}))


def diff(change: Presence) -> bytes:
    """Who came and went, as JSON."""
    joined, left = change.joined_refs, change.left_refs
    changed = {
        key: left[key][0]
        for key, refs in joined.items()
        if len(refs) == 1 and len(left.get(key, ())) == 1
    }
    joins = _listed(change.joined, joined, changed)
    return _json({"joins": joins, "leaves": _listed(change.left, left, {})})


def _listed(
    metas: Mapping[str, Sequence[Any]],
    refs: Mapping[str, Sequence[str]],
    changed: Mapping[str, str],
) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, each in metas.items():
        listed = [dict(meta) if isinstance(meta, dict) else {"meta": meta} for meta in each]
        for meta, ref in zip(listed, refs.get(key, ()), strict=False):  # there may be none
            meta[REF] = ref
            if key in changed:
                meta[PREVIOUS] = changed[key]
        found[key] = {"metas": listed}
    return found


# --- what is heard --------------------------------------------------------------------------------


def whole_of(alias: str, payload: Message | msgspec.Raw) -> Presence:
    """Who is here, as a server told. Raises ProtocolError."""
    try:
        joined, refs = _plain(_state(payload))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"not a presence state: {error}"[:120]) from error
    return Presence(alias, joined, {}, whole=True, joined_refs=refs)


def change_of(alias: str, payload: Message | msgspec.Raw) -> Presence:
    """Who came and went, as a server told. Raises ProtocolError."""
    try:
        said = _diff(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"not a presence diff: {error}"[:120]) from error
    (joined, joined_refs), (left, left_refs) = _plain(said.joins), _plain(said.leaves)
    return Presence(alias, joined, left, joined_refs=joined_refs, left_refs=left_refs)


def _plain(said: Mapping[str, _Metas]) -> tuple[dict[str, list[Any]], dict[str, list[str]]]:
    """Metas without their refs, and these."""
    metas: dict[str, list[Any]] = {}
    refs: dict[str, list[str]] = {}
    for key, each in said.items():
        metas[key] = [_without_refs(meta) for meta in each.metas]
        known = [meta.get(REF) for meta in each.metas if isinstance(meta, dict)]
        told = [ref for ref in known if isinstance(ref, str)]
        if told and len(told) == len(each.metas):
            refs[key] = told
    return metas, refs


def _without_refs(meta: Any) -> Any:
    if not isinstance(meta, dict):
        return meta
    return {name: value for name, value in meta.items() if name not in (REF, PREVIOUS)}
