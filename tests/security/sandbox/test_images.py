"""No image that an agent runs in holds a file that raises rights."""

import json
import subprocess

import pytest

from deploy.images import recipe
from deploy.images.build import ensure_images
from deploy.images.settings import ImageSettings
from tests.security.sandbox.walls import PROBER


def _raising_files(image: str) -> list[str]:
    """What a look at every file of the image finds, as root."""
    command = ["docker", "run", "--rm", "--network", "none", "--user", "0", "--interactive", "--entrypoint", "python3", image]
    arguments = ["/usr/bin/env", *command, "-c", PROBER.read_text()]
    ran = subprocess.run(arguments, input='[["raising_files"]]', capture_output=True, text=True, check=True, timeout=120)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("agent", sorted(recipe.AGENTS))
def test_no_file_raises_who_runs_it(agent: str) -> None:
    assert _raising_files(ensure_images(lambda _: None, [agent])[agent]) == ["none"]


def test_the_look_finds_them_where_they_are() -> None:
    """In what the images stand on, before the base takes the bits away."""
    ensure_images(lambda _: None, ["shell"])
    assert _raising_files(recipe.tags(ImageSettings()).debian) == ["open"]
