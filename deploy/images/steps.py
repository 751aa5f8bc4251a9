"""Runs the programs a build is made of, with argument lists only, and says what failed."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.images.errors import StepFailed, ToolMissing

_TAIL_CHARACTERS = 2_000


def need(tool: str, advice: str) -> str:
    """The path of a program. Raises ToolMissing, with advice, when it is not installed."""
    found = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise ToolMissing(f"{tool} is not installed: {advice}")
    return found


def run(arguments: list[str | Path], *, environment: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end and returns what it wrote. Raises StepFailed when it does not exit with 0."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise StepFailed(f"{Path(str(arguments[0])).name} ended with {done.returncode}:\n{text[-_TAIL_CHARACTERS:]}")
    return text


def succeeds(arguments: list[str | Path]) -> bool:
    """Whether a program exits with 0."""
    done = subprocess.run([str(argument) for argument in arguments], check=False, stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode == 0
