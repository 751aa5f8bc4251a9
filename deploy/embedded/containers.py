"""Removes what a deployment has left with the Docker engine, found by its label. It touches nothing that another deployment made."""

import subprocess
import sys

from deploy.embedded import docker_engine

LABEL = "async-code.deployment"


def remove(deployment: str, host: str | None = None) -> None:
    """Remove the containers and volumes with this deployment's label; nothing where no engine answers."""
    if not docker_engine.answers(host):
        return
    label = f"label={LABEL}={deployment}"
    for listing, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
    ):
        found = _docker(host, *listing, "--filter", label).split()
        if found:
            _docker(host, *removal, *found)


def _docker(host: str | None, *arguments: str) -> str:
    done = subprocess.run([*docker_engine.client(host), *arguments], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        print(f"docker {arguments[0]} failed: {done.stderr.strip()}", file=sys.stderr)
    return done.stdout
