"""What each image is made of, and its tag: a digest of exactly that, so that a build is skipped when its result is there already.

Reads this directory and the pinned requirements; must never ask Docker or the network, so that anyone can compute a tag.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deploy.images.settings import ImageSettings

HERE = Path(__file__).parent
AGENT_REQUIREMENTS = HERE.parents[1] / "requirements" / "agents.txt"
DEBIAN_PACKAGES = HERE / "debian.txt"

AGENTS: dict[str, tuple[Path, ...]] = {"shell": (), "claude-code": (AGENT_REQUIREMENTS,)}
"""Every agent with an image, and what goes into it beside its directory."""


@dataclass(frozen=True)
class Tags:
    """The images by content: `debian` and `base` are what the agents' images stand on."""

    debian: str
    base: str
    agents: dict[str, str]


def packages() -> list[str]:
    """The Debian packages of the base."""
    return DEBIAN_PACKAGES.read_text().split()


def current(agent: str) -> str:
    """The tag that always names the newest build of an agent's image; runners resolve it to an image id when they use it."""
    return f"async-code/{agent}:current"


def tags(settings: ImageSettings) -> Tags:
    """The tag of every image as its inputs stand now."""
    debian = settings.base_image or _tag(
        "debian", settings.debian_suite, settings.debian_mirror, settings.debian_security_mirror, *packages()
    )
    base = _tag("base", debian, *_contents(HERE / "base"))
    agents = {
        agent: _tag(agent, base, *_contents(HERE / agent), *(extra.read_text() for extra in extras)) for agent, extras in AGENTS.items()
    }
    return Tags(debian=debian, base=base, agents=agents)


def _contents(directory: Path) -> list[str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return [part for path in files for part in (path.relative_to(directory).as_posix(), path.read_text())]


def _tag(name: str, *inputs: str) -> str:
    digest = hashlib.sha256()
    for part in inputs:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return f"async-code/{name}:{digest.hexdigest()[:16]}"
