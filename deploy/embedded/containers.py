"""Removes what a deployment has left with the Docker engine, found by its label. It touches nothing that another deployment made."""

import subprocess
import sys

from deploy.embedded import docker_engine

LABEL = "async-code.deployment"


def remove(deployment: str) -> None:
    """Remove the containers and volumes with this deployment's label; nothing where no engine answers."""
    if not docker_engine.answers():
        return
    label = f"label={LABEL}={deployment}"
    for listing, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
    ):
        found = _docker(*listing, "--filter", label).split()
        if found:
            _docker(*removal, *found)


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=120)  # noqa: S607 - as for the operator
    if done.returncode != 0:
        print(f"docker {arguments[0]} failed: {done.stderr.strip()}", file=sys.stderr)
    return done.stdout
