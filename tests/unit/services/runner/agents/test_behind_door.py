"""What agents with a model share: nothing a person wrote is an argument; an addition to the system prompt comes first on standard input."""

import itertools
import json
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runner.agents import registry
from services.runner.agents.adapter import Assignment
from services.runner.doors import Door
from shared.events import ids
from shared.events.values import AgentOptions, Effort, Limits

DOOR = Door(Path("/run/x"), "model.sock", SecretStr("worthless"))
BEHIND_DOORS = [agent for agent in registry.AGENTS.values() if agent.vendor is not None]
SCRIPT = Path(__file__).parents[5] / "deploy" / "images" / "base" / "lib" / "with-file"
TEXT = 'Say "arr" \\ \x7f\té\N{PARROT}\nalways.'


def _assignment(**given: object) -> Assignment:
    plain = Assignment(run_id=ids.RunId(ids.fresh()), prompt="the prompt", model="m-1", limits=Limits(), door=DOOR)
    return replace(plain, **given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("agent", BEHIND_DOORS, ids=lambda agent: agent.name)
def test_nothing_a_person_wrote_is_an_argument_or_in_the_environment(agent: registry.Agent) -> None:
    program = agent.program(_assignment(system_prompt=TEXT))
    assert not any("arr" in word or "the prompt" in word for word in (*program.argv, *program.environment.values()))
    place = program.argv.index("/usr/local/lib/async-code/with-file")
    path, size = program.argv[place + 1], int(program.argv[place + 2])
    assert path.startswith("/home/agent/")
    assert b"arr" in program.stdin[:size]
    assert b"arr" not in program.stdin[size:]
    assert program.stdin.endswith(b"the prompt")


@pytest.mark.parametrize("agent", BEHIND_DOORS, ids=lambda agent: agent.name)
def test_without_an_addition_there_is_no_file(agent: registry.Agent) -> None:
    program = agent.program(_assignment())
    assert not any("with-file" in word for word in program.argv)
    assert program.stdin.decode().endswith("the prompt")


@pytest.mark.parametrize("agent", BEHIND_DOORS, ids=lambda agent: agent.name)
def test_without_a_door_there_is_no_program(agent: registry.Agent) -> None:
    with pytest.raises(ValueError, match="needs a door"):
        agent.program(_assignment(door=None))


def test_the_script_gives_the_file_its_bytes_and_the_program_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "in" / "file"
    done = subprocess.run([SCRIPT, path, "5", "/usr/bin/cat"], input=b"\x00\n\xff$(1234567", check=True, capture_output=True)
    assert (path.read_bytes(), done.stdout) == (b"\x00\n\xff$(", b"1234567")
    assert path.stat().st_mode & 0o777 == 0o600


def test_codex_reads_the_addition_as_its_developers_words() -> None:
    program = registry.agent("codex").program(_assignment(system_prompt=TEXT))
    size = int(program.argv[program.argv.index("/home/agent/.codex/config.toml") + 1])
    assert tomllib.loads(program.stdin[:size].decode()) == {"developer_instructions": TEXT}


def test_options_become_the_agents_own_flags() -> None:
    options = AgentOptions(effort=Effort.HIGH, allowed_tools=("Bash", "Read"))
    claude = registry.agent("claude-code").program(_assignment(options=options, system_prompt=TEXT)).argv
    flags = dict(itertools.pairwise(claude))
    assert (flags["--effort"], flags["--tools"], flags["--model"]) == ("high", "Bash,Read", "m-1")
    assert flags["--append-system-prompt-file"] == "/home/agent/system-prompt.md"
    codex = registry.agent("codex").program(_assignment(options=options)).argv
    assert f"model_reasoning_effort={json.dumps('high')}" in codex
