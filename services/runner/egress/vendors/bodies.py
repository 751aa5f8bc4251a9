"""Reads a request's body so that what was checked is what is sent, and so that no body can keep this process busy. Pure."""

import json
from typing import Any, cast

from services.runner.egress.vendors.vendor import Document, Refused

MAX_DEPTH = 64
MAX_MODEL_NAME = 128
MAX_PARTS = 500_000
"""Of a body's brackets and commas, those in texts too: a context of a million tokens has fewer. A body of nothing else keeps this process,
which serves every run of the host, busy for its seconds and gigabytes (seen: 20 s and 0.9 GB for 30 MB)."""
MAX_OUTPUT_TOKENS = 1_000_000


def read(body: bytes, keys: frozenset[str]) -> Document:
    """The body's object, which has no other keys than these. Raises Refused."""
    if sum(map(body.count, (b"[", b"{", b","))) > MAX_PARTS:
        raise Refused("body_too_complex")
    try:
        document: Any = json.loads(body, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise Refused("body_invalid") from error
    if not isinstance(document, dict):
        raise Refused("body_invalid")
    if cast("Document", document).keys() - keys:
        raise Refused("field_denied")
    return cast("Document", document)


def serialised(document: Document) -> bytes:
    """Our own bytes of what was checked. Raises Refused."""
    try:
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except RecursionError as error:
        raise Refused("body_too_deep") from error


def model(document: Document) -> str:
    """The model's name. Raises Refused."""
    name = document.get("model")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_MODEL_NAME:
        raise Refused("model_missing")
    return name


def tokens(value: Any, otherwise: int) -> int:
    """A number of tokens. What is no whole number counts as `otherwise`: the upstream refuses it, or takes 1e5 for one."""
    return min(max(value, 0), MAX_OUTPUT_TOKENS) if isinstance(value, int) else otherwise


def objects(value: Any) -> list[Document]:
    """A list of objects. Raises Refused."""
    items = cast("list[Any]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(item, dict) for item in items):
        raise Refused("body_invalid")
    return cast("list[Document]", items)


def is_one_of(value: Any, names: frozenset[str]) -> bool:
    """Whether it is a text, and one of these."""
    return isinstance(value, str) and value in names


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Document:
    # RFC 8259 §4: two readers may take different ones of two equal names, so that what was checked would not be what is read.
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("duplicate_key")
    return dict(pairs)
