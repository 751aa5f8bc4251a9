"""npm: packuments, whose tarballs' addresses are rewritten, and tarballs. Nothing that is written to a registry, searched or audited."""

import json
import re
from typing import Any, cast

from services.runner.egress.packages.wanted import FILES, Answer, Asked, Shelf, Wanted, escaped
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
        return Wanted(f"{shelf.address}/{name}/-/{escaped(beneath[2:])}", kept=True)
    raise Refused("path_denied")


def _split(path: str) -> tuple[str, str]:
    """A package's name, scoped or not, and what is asked for beneath it."""
    parts = path.split("/")
    length = 2 if path.startswith("@") else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


def _path(name: str) -> str:
    """Registries take the slash of a scope escaped alone (npm's own client sends it so)."""
    return name.replace("/", "%2f")


def _rewritten(body: bytes, name: str, base: str, shelf: Shelf) -> bytes:
    """The same packument, without the versions whose tarballs lie where nobody may go."""
    document: Any = json.loads(body)
    versions: Any = cast("dict[str, Any]", document).get("versions") if isinstance(document, dict) else None
    if not isinstance(versions, dict):
        raise ValueError("no versions")  # noqa: TRY004 - what is no packument is a bad value
    kept: dict[str, Any] = {}
    for version, manifest in cast("dict[str, Any]", versions).items():
        dist: Any = cast("dict[str, Any]", manifest).get("dist") if isinstance(manifest, dict) else None
        tarball: Any = cast("dict[str, Any]", dist).get("tarball") if isinstance(dist, dict) else None
        link = _link(tarball, name, base, shelf) if isinstance(tarball, str) else None
        if link is not None:
            kept[version] = {**manifest, "dist": {**dist, "tarball": link}}
    return json.dumps({**document, "versions": kept}).encode()


def _link(tarball: str, name: str, base: str, shelf: Shelf) -> str | None:
    """By its name where it lies in its usual place, so that a lock file's entry is enough to ask for it."""
    beneath = tarball.removeprefix(f"{shelf.address}/{name}/-/")
    return f"{base}/{name}/-/{escaped(beneath)}" if _TARBALL.fullmatch(beneath) else shelf.link(base, tarball, None)
