"""What a sandbox's request for packages comes to, judged before anything is asked. Pure: no I/O here or in the families' own files."""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.settings import PackageSettings, placed
from services.runner.egress.vendors.vendor import Refused
from shared.events.values import Ecosystem

MAX_PATH = 1_024
MAX_SEGMENT = 200
_SEGMENT = re.compile(r"[A-Za-z0-9_.+~!@:-]{1,200}")
_ESCAPES = re.compile(r"%(2[bBfF1]|3[aA]|40|7[eE])")
"""What clients escape of the characters that names are made of: + / ! : @ ~. A second round of escapes stays what it is, and is refused."""
FILES = "_files"
"""Where files lie that an index links to; no family has a name that begins with an underscore."""
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!~-]{0,198}\.(whl|tar\.gz|tgz|zip|tar\.bz2|tar\.xz|egg|crate)")


@dataclass(frozen=True)
class Answer:
    """What is passed on of an index: built anew from what was understood."""

    body: bytes
    content_type: str


Rewrite = Callable[[bytes, str], Answer]
"""Takes the registry's body and its content type. Raises ValueError for what is no such index."""


@dataclass(frozen=True)
class Proof:
    """Where the registry says what a file must be, which the address of the file does not say."""

    url: str
    accept: str
    read: Callable[[bytes], Digest | None]
    """Takes the registry's index; None where it lists no such file. Raises ValueError for what is no index."""


@dataclass(frozen=True)
class Wanted:
    """One thing to get, for one sandbox."""

    url: str
    kept: bool = False
    """Whether it never changes, so that it may be kept and given to other runs."""
    digest: Digest | None = None
    """What its content must be, where the link says so."""
    proof: Proof | None = None
    """Else where that is found out, before it is fetched. Neither: the family's client checks by signatures or sums of its own."""
    accept: str = "*/*"
    rewrite: Rewrite | None = None
    """None: the bytes are passed on as they are."""
    content_type: str = "application/octet-stream"
    download: tuple[str, str] | None = None
    """A crate by name and version, whose place the registry's own configuration says."""

    @property
    def key(self) -> str:
        """What it is kept under."""
        return " ".join((self.url, *(self.download or ())))


@dataclass(frozen=True)
class Asked:
    """A checked path, whose `base` the sandbox reaches this family at."""

    segments: tuple[str, ...]
    directory: bool
    """Whether the path ended with a slash."""
    base: str
    accept: str


@dataclass(frozen=True)
class Shelf:
    """One family's registry: its places, and the seal on links into them."""

    ecosystem: Ecosystem
    settings: PackageSettings
    seal: bytes

    @property
    def address(self) -> str:
        """The registry's."""
        return self.settings.addresses(self.ecosystem)[0]

    def link(self, base: str, url: str, digest: Digest | None) -> str | None:
        """Where a sandbox gets the file that the registry's index says lies at `url`; None where nobody may go.

        The seal says that an index named it: so a sandbox cannot ask for addresses that it makes up.
        """
        place = placed(url, self.settings.origins(self.ecosystem))
        if place is None or urlsplit(url).query:
            return None
        try:
            path = segments(urlsplit(url).path.removeprefix("/"))
        except Refused:
            return None
        if not _FILE_NAME.fullmatch(path[-1]):
            return None
        said = str(digest) if digest is not None else "-"
        return "/".join((base, FILES, self._sealed(str(place), said, path), said, str(place), *map(escaped, path)))

    def file(self, asked: Asked) -> Wanted:
        """The file behind a link. Raises Refused."""
        if len(asked.segments) < 5 or asked.directory:  # noqa: PLR2004 - _files, seal, digest, place, path
            raise Refused("path_denied")
        _, sealed, digest, place, *path = asked.segments
        metadata = path[-1].endswith(".metadata")  # PEP 658: beside the file, whose seal counts for it
        named = [*path[:-1], path[-1].removesuffix(".metadata")] if metadata else path
        if not hmac.compare_digest(sealed.encode(), self._sealed(place, digest, tuple(named)).encode()):
            raise Refused("link_unknown")
        url = "/".join((self.settings.origins(self.ecosystem)[int(place)], *map(escaped, path)))
        return Wanted(url, kept=True, digest=None if metadata else Digest.read(digest))

    def _sealed(self, place: str, digest: str, path: tuple[str, ...]) -> str:
        said = "\n".join((self.ecosystem, place, digest, *path)).encode()
        return hmac.new(self.seal, said, hashlib.sha256).hexdigest()


def segments(path: str) -> tuple[str, ...]:
    """The parts of a path, unescaped. Raises Refused for what is no plain path: empty parts, dots, odd characters, escapes of escapes."""
    if len(path) > MAX_PATH:
        raise Refused("path_too_long")
    parts = tuple(_ESCAPES.sub(lambda escape: unquote(escape[0]), part) for part in path.split("/"))
    for part in (piece for whole in parts for piece in whole.split("/")):
        if part in (".", "..") or not _SEGMENT.fullmatch(part):
            raise Refused("path_denied")
    return parts


def escaped(segment: str) -> str:
    """As it stands in a URL."""
    return quote(segment, safe="@!~:+")
