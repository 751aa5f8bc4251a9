"""cargo: a sparse index (RFC 2789) and the crates of its registry; cargo itself checks a crate against the index."""

import json
import re
from typing import Any, cast

from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.settings import leads_to, placed
from services.runner.egress.packages.wanted import Answer, Asked, Proof, Shelf, Wanted, escaped
from services.runner.egress.vendors.vendor import Refused

CONFIGURATION = "config.json"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-[A-Za-z0-9.-]{1,64})?(\+[A-Za-z0-9.-]{1,64})?")
_SHORT = 3


def wanted(asked: Asked, shelf: Shelf) -> Wanted:
    """Raises Refused."""
    if asked.directory:
        raise Refused("path_denied")
    match asked.segments:
        case ("config.json",):
            return Wanted(f"{shelf.address}/{CONFIGURATION}", rewrite=lambda body, _: _rewritten(body, asked.base, shelf))
        case ("crates", name, version, "download") if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
            index = f"{shelf.address}/{prefix(name.lower())}/{name.lower()}"
            proof = Proof(index, "text/plain", lambda body: _checksum(body, version))
            return Wanted(f"{shelf.address}/{CONFIGURATION}", kept=True, proof=proof, download=(name, version))
        case (*beneath, name) if _NAME.fullmatch(name) and "/".join(beneath) == prefix(name.lower()):
            return Wanted(f"{shelf.address}/{'/'.join(beneath)}/{name.lower()}", content_type="text/plain")
        case _:
            raise Refused("path_denied")


def prefix(name: str) -> str:
    """The directories of a crate's file in an index."""
    if len(name) < _SHORT:
        return str(len(name))
    return f"{_SHORT}/{name[0]}" if len(name) == _SHORT else f"{name[:2]}/{name[2:4]}"


def _rewritten(body: bytes, base: str, shelf: Shelf) -> Answer:
    place(body, "a", "0.0.0", shelf)  # a registry whose crates lie where nobody may go says so here
    return Answer(json.dumps({"dl": f"{base}/crates/{{crate}}/{{version}}/download"}).encode(), "application/json")


def _checksum(body: bytes, version: str) -> Digest | None:
    """What the index says that a crate must be: a line of JSON for each version."""
    for line in body.splitlines():
        entry: Any = json.loads(line) if version.encode() in line else None
        if isinstance(entry, dict) and cast("dict[str, Any]", entry).get("vers") == version:
            return Digest.hexadecimal("sha256", cast("dict[str, Any]", entry).get("cksum"))
    return None


def place(configuration: bytes, name: str, version: str, shelf: Shelf) -> str:
    """Where the registry says that a crate lies. Raises ValueError, Refused."""
    document: Any = json.loads(configuration)
    template: Any = cast("dict[str, Any]", document).get("dl") if isinstance(document, dict) else None
    if not isinstance(template, str) or "{sha256-checksum}" in template:
        raise ValueError("no place for crates")
    if "{" not in template:
        template += "/{crate}/{version}/download"
    filled = {"crate": name, "version": escaped(version), "prefix": prefix(name), "lowerprefix": prefix(name.lower())}
    for marker, value in filled.items():
        template = template.replace("{" + marker + "}", value)
    if placed(template, shelf.settings.origins(shelf.ecosystem)) is None:
        raise Refused("redirect_denied", leads_to(template))
    return template
