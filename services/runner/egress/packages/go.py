"""Go: the module proxy protocol (go.dev/ref/mod#goproxy-protocol).

A module's path begins with a host, and the module proxy asks that host. So a path is only asked for where its beginning is on the
operator's list: everywhere else, whoever owns the host would read the rest.
"""

import re

from services.runner.egress.packages.wanted import Asked, Shelf, Wanted
from services.runner.egress.vendors.vendor import Refused

_ELEMENT = re.compile(r"[a-z0-9_.!~-]{1,100}")
_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+([-+][A-Za-z0-9.!+-]{1,80})?")
_REVISION = re.compile(r"[a-z0-9][a-z0-9_.!-]{0,63}")
_MAX_MODULE = 200


def wanted(asked: Asked, shelf: Shelf) -> Wanted:
    """Raises Refused."""
    match asked.segments:
        case (*module, "@latest"):
            return _of(module, "@latest", shelf, kept=False)
        case (*module, "@v", "list"):
            return _of(module, "@v/list", shelf, kept=False)
        case (*module, "@v", file):
            version, _, kind = file.rpartition(".")
            exact = _VERSION.fullmatch(version) is not None
            if not (exact and kind in {"info", "mod", "zip"}) and not (_REVISION.fullmatch(version) and kind == "info"):
                raise Refused("path_denied")
            return _of(module, f"@v/{file}", shelf, kept=exact and kind != "info")
        case _:
            raise Refused("path_denied")


def _of(module: list[str], what: str, shelf: Shelf, *, kept: bool) -> Wanted:
    path = "/".join(module)
    if not module or len(path) > _MAX_MODULE or not all(map(_ELEMENT.fullmatch, module)):
        raise Refused("path_denied")
    if not any(f"{path}/".startswith(f"{beginning}/") for beginning in shelf.settings.go_modules):
        raise Refused("module_host_denied", module[0])
    return Wanted(f"{shelf.address}/{path}/{what}", kept=kept)
