"""A process that waits does and becomes what it is told, with arguments and input as they are; on the real script."""

import asyncio
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner import standing
from tests.unit.services.runner.pipes import Pipes

PATH = {"PATH": "/usr/bin:/bin"}
argument = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)


def become(argv: list[str], environment: dict[str, str], given: bytes = b"", directory: str = "/") -> subprocess.CompletedProcess[bytes]:
    said = standing.word(argv, environment, directory) + given
    return subprocess.run(standing.COMMAND, input=said, capture_output=True, check=False, env=PATH | {"OF_ITS_OWN": "1"}, timeout=30)


@given(st.lists(argument, max_size=5), argument, st.binary(max_size=200))
def test_arguments_variables_and_input_arrive_unread(arguments: list[str], value: str, given: bytes) -> None:
    script = 'import os, sys; sys.stdout.buffer.write(b"\\0".join(map(os.fsencode, sys.argv[1:])) + b"|" + os.fsencode(os.environ["A"]))'
    done = become(["python3", "-c", script + "; sys.stdout.buffer.write(sys.stdin.buffer.read())", *arguments], PATH | {"A": value}, given)
    assert done.stdout == b"\0".join(entry.encode() for entry in arguments) + b"|" + value.encode() + given


def test_nothing_of_its_own_environment_is_handed_on() -> None:
    assert become(["env"], PATH | {"ONE": "1"}).stdout.split() == [b"PATH=/usr/bin:/bin", b"ONE=1"]


def test_it_begins_in_the_directory_and_tells_the_programs_exit_code() -> None:
    done = become(["sh", "-c", "pwd; exit 7"], PATH, directory="/usr")
    assert (done.stdout, done.returncode) == (b"/usr\n", 7)


async def test_it_does_steps_one_after_the_other_and_becomes_the_last() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*standing.COMMAND, stdin=pipe, stdout=pipe, env=PATH | {"OF_ITS_OWN": "1"})
    pipes = Pipes(process)
    assert await standing.done(pipes, ["sh", "-c", "cat; pwd; env; echo complaint >&2; exit 3"], PATH) == (
        3,
        "/\nPATH=/usr/bin:/bin\nPWD=/\ncomplaint\n",
    )
    assert await standing.done(pipes, ["sh", "-c", "printf 'fed0 0'"], PATH) == (0, "fed0 0")
    assert await standing.done(pipes, ["nonesuch"], PATH) == (127, "env: 'nonesuch': No such file or directory\n")
    await pipes.write(standing.word(["cat"], PATH, "/"))
    assert await process.communicate(b"the program's own") == (b"the program's own", None)


async def test_one_that_has_ended_does_no_step() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*standing.COMMAND, stdin=pipe, stdout=pipe)
    process.kill()
    await process.wait()
    assert await standing.done(Pipes(process), ["true"], PATH) is None


def test_without_a_word_it_ends() -> None:
    assert subprocess.run(standing.COMMAND, input=b"", check=False, timeout=30).returncode == 125


@pytest.mark.parametrize("argv", [["a\0b"], []])
def test_arguments_that_no_process_can_be_given_are_refused(argv: list[str]) -> None:
    with pytest.raises(ValueError, match="no process"):
        standing.word(argv, PATH, "/")


@pytest.mark.parametrize(("environment", "directory"), [({"A": "\0"}, "/"), ({}, "/"), (PATH, "/with space"), (PATH, "/a\nb")])
def test_places_that_no_process_can_be_given_are_refused(environment: dict[str, str], directory: str) -> None:
    with pytest.raises(ValueError, match="no process"):
        standing.word(["a"], environment, directory)
