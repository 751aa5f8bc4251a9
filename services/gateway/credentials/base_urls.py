"""Whether the address of a model API is well-formed, and its one spelling. Where it may lead is for the egress process to judge."""

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from services.gateway.repositories.urls import HOST

MAX_CHARS: Final = 300
_FORM: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~-]+)*/?")
_RULE: Final = "must be as https://host, https://host:port or https://host/path, in ASCII, without a user, query or fragment"


def normalised(text: str) -> str:
    """The address as it is bound into the sealing: lower-case host, no slash at its end. Raises ValueError (PydanticCustomError)."""
    if len(text) > MAX_CHARS or _FORM.fullmatch(text) is None:
        raise PydanticCustomError("base_url", _RULE)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise PydanticCustomError("base_url", _RULE) from error
    netloc = parts.netloc.lower()
    name = netloc if port is None else netloc.rpartition(":")[0]
    if HOST.fullmatch(name) is None or any(part in {".", ".."} for part in parts.path.split("/")):
        raise PydanticCustomError("base_url", _RULE)
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"
