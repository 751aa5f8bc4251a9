"""Debian: archives as apt reads them. apt checks signatures and hashes itself; an archive is often reached without TLS for that reason."""

import re

from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.wanted import Asked, Shelf, Wanted, escaped
from services.runner.egress.vendors.vendor import Refused

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+~:-]*\.(deb|udeb|dsc|tar\.(gz|xz|bz2)|diff\.gz|asc)")


def wanted(asked: Asked, shelf: Shelf) -> Wanted:
    """Raises Refused."""
    archives = shelf.settings.addresses(shelf.ecosystem)
    number, *path = asked.segments
    if asked.directory or not number.isascii() or not number.isdigit() or int(number) >= len(archives):
        raise Refused("path_denied")
    url = "/".join((archives[int(number)], *map(escaped, path)))
    match path:
        case ["dists", _, *_, "by-hash", "SHA256", digest] if _SHA256.fullmatch(digest):
            return Wanted(url, kept=True, digest=Digest("sha256", digest))
        case ["dists", _, *_, _]:
            return Wanted(url)
        case ["pool", _, _, *_, file] if _PACKAGE.fullmatch(file):
            return Wanted(url, kept=True)
        case _:
            raise Refused("path_denied")
