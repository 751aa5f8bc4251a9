"""What git stores of a file's bytes by its attributes: gitattributes(5) and convert.c, written again. Pure.

Only what a repository itself can ask for: no filter is ever configured, so `filter` changes nothing.
"""

import re
from collections.abc import Mapping

ATTRIBUTES = (b"text", b"eol", b"crlf", b"ident", b"working-tree-encoding")
_IDENT = re.compile(rb"\$Id:[^$\n]*\$")
_ON, _OFF, _NONE = b"set", b"unset", b"unspecified"
_PRINTABLE = frozenset({8, 9, 12, 27, *range(32, 127), *range(128, 256)})


class CannotStore(Exception):
    """git dies at such a file."""


def cleaned(content: bytes, attributes: Mapping[bytes, bytes], known: bytes | None) -> bytes:
    """What is stored of `content`; `known` is what the base stores at the same path."""
    content = _encoded(content, attributes[b"working-tree-encoding"])
    text = _text(attributes)
    if text == "text" or (text == "auto" and not _binary(content) and not (known is not None and b"\r\n" in known and not _binary(known))):
        content = content.replace(b"\r\n", b"\n")
    return _IDENT.sub(b"$Id$", content) if attributes[b"ident"] == _ON else content


def _text(attributes: Mapping[bytes, bytes]) -> str:
    value = attributes[b"text"] if attributes[b"text"] != _NONE else attributes[b"crlf"]
    if value == _OFF:
        return "binary"
    if value == b"auto":
        return "auto"
    if value in {_ON, b"input"} or attributes[b"eol"] in {b"lf", b"crlf"}:
        return "text"
    return "binary"


def _binary(content: bytes) -> bool:
    """A lone carriage return, a NUL, or more than one odd byte in 128 (a ^Z at the end is none)."""
    if b"\0" in content or b"\r" in content.replace(b"\r\n", b""):
        return True
    plain = content.replace(b"\r\n", b"").replace(b"\n", b"")
    odd = sum(byte not in _PRINTABLE for byte in plain) - content.endswith(b"\x1a")
    return (len(plain) - odd) // 128 < odd


def _encoded(content: bytes, name: bytes) -> bytes:
    """UTF-8 of content in a work tree's encoding. git wants or forbids a byte order mark by the encoding's name."""
    if name in {_NONE, _ON, _OFF, b"", b"UTF-8"} or not content:
        return content
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if marked != (name == b"UTF-16") and name.startswith(b"UTF-16"):
        raise CannotStore(name)
    try:
        return content.decode(name.decode()).encode()
    except UnicodeError as error:
        raise CannotStore(name) from error
