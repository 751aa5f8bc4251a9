"""Whether a repository's address is well-formed. Only its syntax: where it may lead is for the git service to judge when it goes there."""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

MAX_CHARS: Final = 2048
_ALLOWED: Final = re.compile(r"[A-Za-z0-9._~:/@!$&'()*+,;=%\[\]-]+")
"""RFC 3986's unreserved and reserved characters, without `?` and `#`."""
HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")


class InvalidUrl(ValueError):
    """The address breaks a rule."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def host_of(url: str, schemes: Collection[str]) -> str:
    """The address's `host` or `host:port` in lowercase, empty for `file`. Raises InvalidUrl."""
    if len(url) > MAX_CHARS:
        raise InvalidUrl("url_too_long", f"must have at most {MAX_CHARS} characters")
    if _ALLOWED.fullmatch(url) is None:
        raise InvalidUrl(
            "url_characters", "must be an address in ASCII without spaces, query or fragment, as https://example.com/team/repo.git"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidUrl("url_syntax", "is not a well-formed address") from error
    if parts.scheme not in schemes or not url.startswith(f"{parts.scheme}://"):
        raise InvalidUrl("url_scheme", f"must begin with one of: {', '.join(f'{scheme}://' for scheme in sorted(schemes))}")
    if "@" in parts.netloc:
        raise InvalidUrl("url_credentials", "must not hold a user name or token; store those with POST /v1/credentials")
    return _host(parts.scheme, parts.netloc.lower(), parts.path, port)


def _host(scheme: str, netloc: str, path: str, port: int | None) -> str:
    if not path.strip("/"):
        raise InvalidUrl("url_path", "must name a repository behind the host")
    if ".." in path.split("/"):
        raise InvalidUrl("url_path", "must not hold `..`")
    if scheme == "file":
        if netloc:
            raise InvalidUrl("url_host", "must begin with file:/// and an absolute path")
        return ""
    name = netloc if port is None else netloc.rpartition(":")[0]
    if HOST.fullmatch(name) is None:
        raise InvalidUrl("url_host", "must name a host")
    return name if port is None else f"{name}:{port}"
