"""Keeps secrets out of what services write down: log lines and errors. What an agent says does not pass here.

Two nets. Patterns catch what looks like a key wherever it comes from. `forget` names a secret exactly; from then on it is taken out of
any text or structure, also in the spellings it gets on its way (base64, percent, JSON, Python, hexadecimal). It errs towards taking out
too much. It must never raise, and nothing may be written after it that it has not seen.
"""

import base64
import json
import math
import re
import threading
from collections.abc import Generator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, Final, cast
from urllib.parse import quote, quote_plus

from pydantic import SecretBytes, SecretStr

REDACTED: Final = "[redacted]"

SHORTEST: Final = 8
"""In bytes. A shorter secret would take out ordinary words; nothing this short is a secret worth the name."""

_MOST_SECRETS: Final = 512
_DEEPEST: Final = 12

_PATTERNS: Final = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        # The longest first: a key in PEM, whole, or to the end of the text where its end was cut off.
        (r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL),
        (r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*", 0),  # JWT and JWE (RFC 7515, §3.1)
        (r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}", 0),  # Anthropic (sk-ant-…) and OpenAI (sk-…, sk-proj-…)
        (r"(?<![A-Za-z0-9])sk-ant-[A-Za-z0-9_-]{4,}", 0),
        (r"(?<![A-Za-z0-9])ghs_[A-Za-z0-9._]{36,}", 0),  # GitHub's installation tokens: of variable length, with dots
        (r"(?<![A-Za-z0-9])gh[opru]_[A-Za-z0-9]{20,}", 0),
        (r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{20,}", 0),
        (r"(?<![A-Za-z0-9])gl(?:pat|oas|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_.-]{16,}", 0),  # GitLab's token prefixes
        (r"(?<![A-Za-z0-9])acp_[A-Za-z0-9]{20,}", 0),  # our own API tokens
        (r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=_-]{16,}", 0),  # Standard Webhooks
        (r"(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,}", 0),
        (r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Z0-9])", 0),
        (r"(?<![A-Z0-9])S[AUOCNX][A-Z2-7]{56}(?![A-Z0-9])", 0),  # nkey seeds: 58 characters of base32
        (r"(?<![A-Z0-9])P[A-Z2-7]{55,57}(?![A-Z0-9])", 0),  # nkey private keys
        (r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", 0),  # Authorization headers (RFC 6750, RFC 7617)
        (r"(?<=://)[^/\s?#\"'<>]*@", 0),  # user and password of an address (RFC 3986, §3.2.1)
    )
)

_SECRET_NAME: Final = re.compile(
    r"(?i)(?:.*[_-])?(?:password|passwd|passphrase|secret|token|authorization|cookie|credential|api[_-]?key|private[_-]?key|nkey|seed)"
)
"""Names whose values are never written. `input_tokens` is a count, not a token: the names are matched whole."""

_lock = threading.Lock()
_forgotten: dict[str, tuple[str, ...]] = {}
_spellings: tuple[str, ...] = ()


def forget(secret: str | bytes | SecretStr | SecretBytes) -> None:
    """From now on this secret is taken out wherever it stands, in each of its spellings.

    The last few hundred different ones are remembered. Raises nothing: a secret too short to be told from a word is ignored.
    """
    global _spellings  # noqa: PLW0603 - one process, one set of secrets, replaced whole so that readers need no lock
    plain = secret.get_secret_value() if isinstance(secret, (SecretStr, SecretBytes)) else secret
    text = plain if isinstance(plain, str) else plain.decode("utf-8", "backslashreplace")
    raw = plain if isinstance(plain, bytes) else plain.encode("utf-8", "surrogatepass")
    if len(raw) < SHORTEST or text in REDACTED:
        return
    with _lock:
        _forgotten.pop(text, None)
        _forgotten[text] = tuple(spelling for spelling in set(_spelled(text, raw)) if _bytes(spelling) >= SHORTEST)
        while len(_forgotten) > _MOST_SECRETS:
            del _forgotten[next(iter(_forgotten))]
        _spellings = _sorted()


@contextmanager
def forgotten(secret: str) -> Generator[None]:
    """`forget`, as long as the block runs: for a secret that this process holds no longer.

    What is to be a secret may be anybody's choice. Remembered, it would be looked for in every later line, and a word of ours handed in as
    a secret would be missing in all of them.
    """
    global _spellings  # noqa: PLW0603 - as above
    forget(secret)
    try:
        yield
    finally:
        with _lock:
            _forgotten.pop(secret, None)
            _spellings = _sorted()


def _sorted() -> tuple[str, ...]:
    """A longer one first: it may contain a shorter one, and what is left of it must not stay."""
    return tuple(sorted({one for many in _forgotten.values() for one in many}, key=len, reverse=True))


def redact_text(text: str) -> str:
    """The text without secrets."""
    text = redact_known(text)
    for pattern in _PATTERNS:
        text = pattern.sub(REDACTED, text)
    return text


def redact_known(text: str) -> str:
    """The text without the secrets named by `forget`; the patterns are not applied."""
    for spelling in _spellings:
        if spelling in text:
            text = text.replace(spelling, REDACTED)
    return text


def redact(value: Any, depth: int = 0) -> Any:
    """The same structure of plain values without secrets: names of fields, texts, bytes and the texts of any other object.

    What is nested deeper than any message of ours, or contains itself, becomes its (redacted) text.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return _number(value)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return dict(_pairs(cast("Mapping[Any, Any]", value), depth))
    if isinstance(value, (list, tuple, AbstractSet)) and depth < _DEEPEST:
        return [redact(item, depth + 1) for item in cast("list[Any]", value)]
    return redact_text(_text(value))


def _pairs(mapping: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        name = redact_text(_text(key))
        hidden = _SECRET_NAME.fullmatch(name) is not None and value is not None and not isinstance(value, bool)
        yield name, REDACTED if hidden else redact(value, depth + 1)


def _number(value: float | None) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    text = repr(value) if isinstance(value, float) else str(int(value))
    return value if redact_known(text) == text else REDACTED


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", value)).decode("utf-8", "backslashreplace")
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001 - an object that cannot be shown must not stop the line it stands in
        return f"<{type(value).__name__} that cannot be shown>"


def _bytes(spelling: str) -> int:
    return len(spelling.encode("utf-8", "surrogatepass"))


def _spelled(text: str, raw: bytes) -> Iterator[str]:
    """Every way in which a secret is written by what we and our libraries do with it."""
    yield text
    yield raw.decode("latin-1")
    yield from _in_base64(raw)
    for safe in ("", "/", "-._~", "!'()*-._~", "/:@"):
        encoded = quote(raw, safe=safe)
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), encoded)
    yield quote_plus(raw)
    yield "".join(f"%{byte:02x}" for byte in raw)
    yield "".join(f"%{byte:02X}" for byte in raw)
    yield raw.hex()
    yield raw.hex().upper()
    for inner in {text, text.encode("utf-8", "backslashreplace").decode()}:
        yield json.dumps(inner)[1:-1]
        yield json.dumps(inner, ensure_ascii=False)[1:-1]
        yield repr(inner)[1:-1]
        yield ascii(inner)[1:-1]
    yield repr(raw)[2:-1]


def _in_base64(raw: bytes) -> Iterator[str]:
    """In both alphabets, also where the secret is a part of what was encoded (`user:secret`): it may begin at any of three places."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        skipped = (0, 2, 3)[before]  # characters that hold bits of what stands before
        partial = 1 if (before + len(raw)) % 3 else 0  # the last one holds bits of what follows
        inner = encoded[skipped : len(encoded) - partial]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
