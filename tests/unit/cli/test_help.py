"""What `--help`, the README and the guide show is what the parser takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli.app import app

ROOT = Path(__file__).parents[3]
FRONT_DOOR = {"test", "check"}
"""What `./async-code` itself does, before this command line is asked."""
ROOT_COMMAND: Any = typer.main.get_command(app)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from leaves(inner, (*path, name))


COMMANDS = dict(leaves(ROOT_COMMAND))


def parse(shown: str) -> None:
    """Run the command line through the parser, without carrying it out. Raises what the parser raises."""
    words = shlex.split(shown.replace("~/src/web", "."), comments=True)
    words = words[: words.index("<")] if "<" in words else words
    words = words[: words.index(">")] if ">" in words else words
    assert words.pop(0) == "./async-code"
    if words[0] in FRONT_DOOR:
        assert re.search(rf"^    {words[0]}\)$", (ROOT / "async-code").read_text(), re.MULTILINE)
        return
    path = next(path for path in COMMANDS if list(path) == words[: len(path)])
    COMMANDS[path].make_context(" ".join(path), words[len(path) :])


def shown_in(text: str) -> list[str]:
    return re.findall(r"^\s*(\./async-code .*)$", text, re.MULTILINE)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples_that_parse(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    shown = shown_in(done.output.partition("Examples:")[2])
    assert shown
    for example in shown:
        assert example.startswith(f"./async-code {' '.join(path)}")
        parse(example)


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md"])
def test_every_command_line_of_a_page_parses(page: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    shown = [line for block in blocks for line in shown_in(block)]
    assert shown
    for line in shown:
        parse(line)


def test_the_commands_people_were_promised_are_there() -> None:
    task = ("create", "list", "show", "watch", "diff", "apply", "cancel", "approve", "reject", "publish", "discard")
    flat = ("login", "logout", "whoami", "up", "down", "status", "demo", "images", "version")
    assert {("audit", "verify"), *((name,) for name in flat), *(("task", name) for name in task)} <= set(COMMANDS)


def test_every_exit_code_is_in_the_help() -> None:
    done = CliRunner().invoke(app, ["--help"])
    for line in ("0  ok", "3  unreachable", "4  not signed in", "10  task failed", "130  interrupted"):
        assert line in done.output


def test_no_option_takes_a_secret() -> None:
    options = {option for command in COMMANDS.values() for param in command.params for option in param.opts}
    assert not [option for option in options if re.search(r"password$|token$|secret$|key$|value$", option) and option != "--key"]
