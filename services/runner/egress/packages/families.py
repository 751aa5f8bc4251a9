"""Every family of packages there is, and the file that speaks its protocol. No I/O."""

import re

from services.runner.egress.packages import cargo, debian, go, npm, pip
from services.runner.egress.packages.wanted import Asked, Shelf, Wanted, segments
from services.runner.egress.vendors.vendor import Refused
from shared.events.values import Ecosystem

PREFIX = "/packages/"
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
_OF = {Ecosystem.PIP: pip.wanted, Ecosystem.NPM: npm.wanted, Ecosystem.CARGO: cargo.wanted, Ecosystem.GO: go.wanted}


def ecosystem(target: str) -> Ecosystem:
    """Whose packages a request's target is about. Raises Refused."""
    try:
        return Ecosystem(target.removeprefix(PREFIX).partition("/")[0]) if target.startswith(PREFIX) else Ecosystem("")
    except ValueError as error:
        raise Refused("path_denied") from error


def asked(target: str, host: str, accept: str) -> Asked:
    """A request's target, exactly as it came. Raises Refused: nobody's protocol has questions with a query."""
    if "?" in target or "#" in target:
        raise Refused("query_denied")
    if not _HOST.fullmatch(host):
        raise Refused("host_denied", host)
    name, _, path = target.removeprefix(PREFIX).partition("/")
    parts = segments(path.removesuffix("/"))
    return Asked(parts, path.endswith("/"), f"http://{host}{PREFIX}{name}", accept)


def wanted(request: Asked, shelf: Shelf) -> Wanted:
    """What that comes to. Raises Refused."""
    return _OF.get(shelf.ecosystem, debian.wanted)(request, shelf)
