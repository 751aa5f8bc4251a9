"""What a project's environment is: what its sandboxes hold beside the repository. Its words are a person's, so no message carries it.

It travels as an answer (`RunInput`) alone; messages carry its digest.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from shared.events.payload import Value

PLACES = ("/workspace", "/home/agent")
"""Where an environment's directories may lie."""
MAX_SCRIPT_BYTES = 65_536
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def _components(path: str) -> list[str]:
    """Raises PydanticCustomError for a path that is not in its one spelling, or leads to git's own files."""
    found = path.split("/")
    if _CONTROL.search(path) or any(part in {"", ".", ".."} or part.lower() == ".git" for part in found):
        raise PydanticCustomError("path", "must be a plain path, without '.', '..', '.git' or control characters")
    return found


def _directory(path: str) -> str:
    place = next((place for place in PLACES if path.startswith(f"{place}/")), None)
    if place is None:
        raise PydanticCustomError("place", "must lie below /workspace or /home/agent")
    _components(path.removeprefix(f"{place}/"))
    return path


def _pattern(path: str) -> str:
    _components(path)
    return path


Directory = Annotated[str, StringConstraints(max_length=200), AfterValidator(_directory)]
"""Absolute, below one of `PLACES`."""
FilePattern = Annotated[str, StringConstraints(max_length=200), AfterValidator(_pattern)]
"""A path from the repository's root, with git's `*`, `**`, `?` and `[…]` (gitglossary(7): glob)."""
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$")]


class Environment(Value):
    """An image, or a script whose directories are brought into each sandbox, or both."""

    image: ImageName | None = None
    """Instead of the agent's own, on which it must stand."""
    setup_script: str | None = None
    directories: Annotated[tuple[Directory, ...], Field(max_length=16)] = ()
    """What is kept of the script's sandbox."""
    lock_files: Annotated[tuple[FilePattern, ...], Field(max_length=32)] = ()
    """The only files of the repository that the script sees, and so all of them that its result depends on."""
    timeout_seconds: Annotated[int, Field(ge=1, le=1_800)] = 600

    @model_validator(mode="after")
    def _makes_sense(self) -> "Environment":
        if self.setup_script is None and self.image is None:
            raise PydanticCustomError("environment_empty", "must name an image or a setup_script")
        if (self.setup_script is None) != (not self.directories):
            raise PydanticCustomError("environment_directories", "must have both a setup_script and directories, or neither")
        if len((self.setup_script or "").encode("utf-8", "surrogatepass")) > MAX_SCRIPT_BYTES:
            raise PydanticCustomError("script_too_long", "must have at most {max_bytes} bytes as UTF-8", {"max_bytes": MAX_SCRIPT_BYTES})
        ordered = sorted(self.directories)
        if any(f"{after}/".startswith(f"{before}/") for place, before in enumerate(ordered) for after in ordered[place + 1 :]):
            raise PydanticCustomError("environment_nested", "must name each directory once, and none within another")
        return self
