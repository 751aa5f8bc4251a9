"""Which images of agents nobody needs any more. No I/O."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

PREFIX = "async-code/"


@dataclass(frozen=True)
class Tagged:
    """An image of ours on the host, by one of its names."""

    tag: str
    image_id: str
    created: int

    @property
    def repository(self) -> str:
        """The name without its tag."""
        return self.tag.rpartition(":")[0]


def superseded(images: Iterable[Tagged], needed: Collection[str], keep: int) -> list[str]:
    """The tags to remove: of each repository of ours all but the newest `keep` images, and none whose tag or id is needed."""
    ours = sorted(
        (image for image in images if image.tag.startswith(PREFIX)), key=lambda image: (image.repository, -image.created, image.tag)
    )
    removed: list[str] = []
    for _, several in groupby(ours, key=lambda image: image.repository):
        listed = list(several)
        kept = set(list(dict.fromkeys(image.image_id for image in listed))[:keep])
        removed += [image.tag for image in listed if image.image_id not in kept and not {image.tag, image.image_id} & set(needed)]
    return removed
