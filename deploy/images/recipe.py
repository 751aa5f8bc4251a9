"""What each image is made of, and its tag: a digest of exactly that, so that a build is skipped when its result is there already.

Reads this directory and the pinned requirements; must never ask Docker or the network, so that anyone can compute a tag.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.images.settings import ImageSettings

HERE = Path(__file__).parent
AGENT_REQUIREMENTS = HERE.parents[1] / "requirements" / "agents.txt"
AGENT_TARBALLS = HERE.parents[1] / "requirements" / "agents-npm.json"
DEBIAN_PACKAGES = HERE / "debian.txt"


@dataclass(frozen=True)
class Wheel:
    """A package that carries an agent's programs: which of its files go where in the image's build."""

    package: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tarball:
    """The same of an npm package. npm is no part of an installation: where such an image cannot be made, the others do not wait for it."""

    package: str
    members: tuple[tuple[str, str], ...]


AGENTS: dict[str, Wheel | Tarball | None] = {
    "shell": None,
    "claude-code": Wheel("claude-agent-sdk", (("claude_agent_sdk/_bundled/claude", "claude"),)),
    "codex": Wheel(
        "openai-codex-cli-bin",
        tuple(
            (f"codex_cli_bin/{part}", f"package/{part}")
            for part in ("bin/codex", "bin/codex-code-mode-host", "codex-path/rg", "codex-package.json")
        ),
    ),
    "opencode": Tarball("opencode-linux-x64", (("bin/opencode", "opencode"),)),
}
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


def pin(package: str) -> str:
    """The lines of requirements/agents.txt that pin this package. Raises KeyError."""
    blocks = re.split(r"^(?=\S)", AGENT_REQUIREMENTS.read_text(), flags=re.MULTILINE)
    found = [block for block in blocks if block.startswith(f"{package}==")]
    if not found:
        raise KeyError(package)
    return found[0]


def tarball_pin(package: str) -> dict[str, Any]:
    """What requirements/agents-npm.json says of this package: `version` and `integrity`. Raises KeyError."""
    return json.loads(AGENT_TARBALLS.read_text())[package]


def _pinned(source: Wheel | Tarball) -> str:
    return pin(source.package) if isinstance(source, Wheel) else json.dumps(tarball_pin(source.package), sort_keys=True)


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
        agent: _tag(agent, base, *_contents(HERE / agent), *([_pinned(source), str(source.members)] if source else []))
        for agent, source in AGENTS.items()
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
