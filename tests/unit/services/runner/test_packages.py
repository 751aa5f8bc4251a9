from pathlib import Path

from pydantic import SecretStr

from services.runner import packages
from services.runner.doors import Door
from services.runner.sandbox import Program
from shared.events.values import Ecosystem


def test_a_program_is_told_of_the_door_only_where_something_is_allowed() -> None:
    program, door = Program(argv=("/bin/bash", "-s"), stdin=b"x"), Door(Path("/nowhere"), "model.sock", SecretStr("t"))
    assert packages.reached(program, door, ()) == program
    assert packages.reached(program, None, (Ecosystem.PIP,)) == program
    told = packages.reached(program, door, (Ecosystem.PIP, Ecosystem.NPM))
    assert told.argv == ("/usr/local/lib/async-code/with-packages", "/run/egress/model.sock", "8090", "pip,npm", "/bin/bash", "-s")
    assert (told.stdin, told.environment) == (program.stdin, program.environment)
