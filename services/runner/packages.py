"""Letting an agent's program find the package registries: through its door, and only those that the project allows. No I/O."""

from collections.abc import Sequence
from dataclasses import replace

from services.runner.container import DOOR, SCRIPTS
from services.runner.doors import Door
from services.runner.sandbox import Program
from shared.events.values import Ecosystem

PORT = 8090
"""Beside those that agents reach their models at."""


def reached(program: Program, door: Door | None, packages: Sequence[Ecosystem]) -> Program:
    """The same program, behind the script of the image that tells package clients where the door is."""
    if door is None or not packages:
        return program
    joint = (SCRIPTS + "with-packages", f"{DOOR}/{door.socket_name}", str(PORT), ",".join(packages))
    return replace(program, argv=(*joint, *program.argv))
