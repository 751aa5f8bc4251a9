"""The image that a project names in place of its agent's: whether the operator allows it, and whether it stands on the agent's."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from services.runner.errors import ImageMissing, ImageNotAllowed, ImageUnfit


class Images(Protocol):
    """The images of this Docker host."""

    async def layers(self, image: str) -> tuple[str, ...] | None:
        """An image's layers, from the lowest, by content; None where it is not there."""
        ...


async def check(images: Images, wanted: str, agents: str, allowed: Sequence[str]) -> None:
    """Raises ImageNotAllowed, ImageMissing, ImageUnfit. Nothing is ever pulled."""
    if not any(fnmatchcase(wanted, pattern) for pattern in allowed):
        raise ImageNotAllowed(f"{wanted} is none of the images that projects may name")
    own, base = await images.layers(wanted), await images.layers(agents)
    if own is None or base is None:
        raise ImageMissing(f"the image {wanted if own is None else agents} is not on this Docker host")
    if own[: len(base)] != base:
        raise ImageUnfit(f"{wanted} does not stand on {agents}")
