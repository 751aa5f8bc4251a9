"""No image that an agent runs in holds a file that raises rights."""

import json
import subprocess

import pytest

from deploy.images.build import ensure_images
from deploy.images.recipe import AGENTS
from tests.security.sandbox.walls import PROBER


@pytest.mark.parametrize("agent", sorted(AGENTS))
def test_no_file_raises_who_runs_it(agent: str) -> None:
    image = ensure_images(lambda _: None, [agent])[agent]
    command = ["docker", "run", "--rm", "--network", "none", "--interactive", "--entrypoint", "python3", image, "-c", PROBER.read_text()]
    ran = subprocess.run(["/usr/bin/env", *command], input='[["raising_files"]]', capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(ran.stdout) == ["none"]
