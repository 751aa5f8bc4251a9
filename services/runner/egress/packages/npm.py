"""npm: packuments, whose tarballs' addresses are rewritten, and tarballs. Nothing that is written to a registry, searched or audited."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import unquote

from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.wanted import FILES, Answer, Asked, Proof, Shelf, Wanted, escaped
from services.runner.egress.vendors.vendor import Refused

_SHORT = "application/vnd.npm.install-v1+json"
_NAME = re.compile(r"(@[A-Za-z0-9][A-Za-z0-9._-]{0,98}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,98}")
_TARBALL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,198}\.tgz")


def wanted(asked: Asked, shelf: Shelf) -> Wanted:
    """Raises Refused."""
    if asked.segments[0] == FILES:
        return shelf.file(asked)
    name, beneath = _split("/".join(asked.segments))
    if asked.directory or not _NAME.fullmatch(name):
        raise Refused("path_denied")
    address = f"{shelf.address}/{_path(name)}"
    if not beneath:
        short = _SHORT in asked.accept
        kind = _SHORT if short else "application/json"
        return Wanted(address, accept=kind, rewrite=lambda body, _: Answer(_rewritten(body, name, asked.base, shelf), kind))
    if re.fullmatch(r"-/[^/]+", beneath) and _TARBALL.fullmatch(beneath[2:]):
        proof = Proof(address, _SHORT, lambda body: _digest(body, beneath[2:]))
        return Wanted(f"{shelf.address}/{name}/-/{escaped(beneath[2:])}", kept=True, proof=proof)
    raise Refused("path_denied")


def _split(path: str) -> tuple[str, str]:
    """A package's name, scoped or not, and what is asked for beneath it."""
    parts = path.split("/")
    length = 2 if path.startswith("@") else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


def _path(name: str) -> str:
    """Registries take the slash of a scope escaped alone (npm's own client sends it so)."""
    return name.replace("/", "%2f")


def _document(body: bytes) -> dict[str, Any]:
    document: Any = json.loads(body)
    if not isinstance(document, dict) or not isinstance(cast("dict[str, Any]", document).get("versions"), dict):
        raise ValueError("no versions")  # noqa: TRY004 - what is no packument is a bad value
    return cast("dict[str, Any]", document)


def _dists(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Version, manifest and where its tarball lies, of those that say so."""
    for version, manifest in document["versions"].items():
        dist: Any = cast("dict[str, Any]", manifest).get("dist") if isinstance(manifest, dict) else None
        if isinstance(dist, dict) and isinstance(cast("dict[str, Any]", dist).get("tarball"), str):
            yield version, manifest, cast("dict[str, Any]", dist)


def _rewritten(body: bytes, name: str, base: str, shelf: Shelf) -> bytes:
    """The same packument, without the versions whose tarballs lie where nobody may go."""
    document = _document(body)
    kept: dict[str, Any] = {}
    for version, manifest, dist in _dists(document):
        link = _link(dist, name, base, shelf)
        if link is not None:
            kept[version] = {**manifest, "dist": {**dist, "tarball": link}}
    return json.dumps({**document, "versions": kept}).encode()


def _link(dist: dict[str, Any], name: str, base: str, shelf: Shelf) -> str | None:
    """By its name where it lies in its usual place, so that a lock file's entry is enough to ask for it."""
    beneath = dist["tarball"].removeprefix(f"{shelf.address}/{name}/-/")
    return f"{base}/{name}/-/{escaped(beneath)}" if _TARBALL.fullmatch(beneath) else shelf.link(base, dist["tarball"], _said(dist))


def _digest(body: bytes, file: str) -> Digest | None:
    """What a packument says that a tarball must be."""
    for _, _, dist in _dists(_document(body)):
        if unquote(dist["tarball"].rpartition("/")[2]) == file:
            return _said(dist)
    return None


def _said(dist: dict[str, Any]) -> Digest | None:
    return Digest.integrity(dist.get("integrity")) or Digest.hexadecimal("sha1", dist.get("shasum"))
