"""Reads a repository's address and judges its form. Pure: where the name leads to is `resolution`'s question.

Only what is understood is let through: git, libcurl and Python read odd URLs differently, and each difference is a way around a check.
"""

import hashlib
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NoReturn
from urllib.parse import unquote_to_bytes

from services.git.errors import AddressRefused

Protocol = Literal["https", "http", "file"]

MAX_LENGTH = 2_048
_MAX_HOST, _MAX_PORT = 253, 65_535  # RFC 1035 §2.3.4, RFC 9293 §3.1
_DEFAULT_PORTS = {"https": 443, "http": 80}
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_END = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
# No quote, query, fragment, backslash, blank or other character that git, curl or a shell of git's own could read as more than a path.
_PATH = re.compile(r"(?:/[A-Za-z0-9._~%+=@:,-]*)+")
_UNSAFE_BYTES = re.compile(rb"[\x00-\x1f\x7f\"'\\]")


@dataclass(frozen=True, slots=True)
class RepositoryAddress:
    """An address in its one spelling. `host` is lowercase, without brackets, and empty for `file`; `path` is as git will see it."""

    protocol: Protocol
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The spelling handed to git."""
        if self.protocol == "file":
            return f"file://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.protocol] else f":{self.port}"
        return f"{self.protocol}://{host}{port}{self.path}"

    @property
    def digest(self) -> str:
        """SHA-256 of the URL: names the mirror on disk and the repository in logs."""
        return hashlib.sha256(self.url.encode()).hexdigest()


def parse(text: str, allowed: Collection[str] = ()) -> RepositoryAddress:
    """The address in `text`. `https` is always allowed; `http` and `file` where `allowed` holds them.

    Raises AddressRefused, whose text names the rule and never repeats the address.
    """
    _judge_text(text)
    match = _URL.fullmatch(text)
    if match is None:
        _refuse("it is not of the form https://host/path")
    protocol = _protocol(match["scheme"].lower(), allowed)
    path = match["path"] or ""
    _judge_path(path)
    if protocol == "file":
        if match["authority"] not in {"", "localhost"}:
            _refuse("a file address names no host")
        return RepositoryAddress("file", "", 0, path)
    host, port = _authority(match["authority"], protocol)
    return RepositoryAddress(protocol, host, port, path)


def _refuse(rule: str) -> NoReturn:
    raise AddressRefused(f"the repository's address is refused: {rule}")


def _judge_text(text: str) -> None:
    if not text or len(text) > MAX_LENGTH:
        _refuse(f"it is empty or longer than {MAX_LENGTH} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        _refuse("it holds blanks, control characters or characters outside ASCII")
    if text.startswith("-"):
        _refuse("it begins with a dash")  # CVE-2017-1000117: read as an option
    if "::" in text.split("/", 1)[0]:
        _refuse("remote helpers (ext::, fd::) are not allowed")  # gitremote-helpers(7): ext:: runs a command


def _protocol(scheme: str, allowed: Collection[str]) -> Protocol:
    if scheme == "https":
        return "https"
    if scheme == "http" and "http" in allowed:
        return "http"
    if scheme == "file" and "file" in allowed:
        return "file"
    _refuse("its transport is not allowed here")


def _authority(authority: str, protocol: Protocol) -> tuple[str, int]:
    if "@" in authority:
        _refuse("it holds a user name or a password; store a credential instead")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        _refuse("its host is not a name or an address")
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[protocol]
    if not 1 <= port <= _MAX_PORT:
        _refuse("its port is not within 1 to 65535")
    return _host(match["host"].lower()), port


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            _refuse("its host is no IPv6 address")
    labels = host.split(".")
    if len(host) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("its host is not a name")
    if _NUMERIC_END.fullmatch(labels[-1]):
        # The rule of the URL standard: a name that ends in a number is an IPv4 address. curl would read 0x7f.1 as 127.0.0.1 and pass by
        # the pinned resolution, so only the plain dotted form is let through.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            _refuse("its host is no plain IPv4 address")
    return host


def _judge_path(path: str) -> None:
    if path in {"", "/"} or _PATH.fullmatch(path) is None:
        _refuse("its path is empty or holds characters outside A-Z a-z 0-9 . _ ~ % + = @ : , - /")
    decoded = unquote_to_bytes(path)
    if _UNSAFE_BYTES.search(decoded):
        _refuse("its path holds encoded control characters, quotes or backslashes")  # CVE-2020-5260: %0a in a URL
    if any(segment in {b".", b".."} for segment in decoded.split(b"/")) or re.search(r"%(?![0-9A-Fa-f]{2})", path):
        _refuse("its path holds . or .. or broken percent encoding")
