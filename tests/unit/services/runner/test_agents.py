import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runner.agents import registry
from services.runner.agents.adapter import Assignment, Ending
from services.runner.agents.shell import Shell
from services.runner.doors import Door, Spending
from services.runner.errors import UnknownAgent
from services.runner.sandbox import Elsewhere, Program
from shared.events import failures, ids
from shared.events.ids import RunId, SessionId
from shared.events.output import MAX_TEXT, AgentEvent
from shared.events.values import Limits


def test_the_shells_program_holds_nothing_of_the_prompt_but_its_input() -> None:
    prompt = "echo \"$(id)\" 'x' \0 é"
    program = Shell().program(Assignment(RunId(ids.fresh()), prompt, None, Limits(), None))
    assert program == Program(argv=("/bin/bash", "-euo", "pipefail", "-s"), stdin=prompt.encode(), environment={})


@pytest.mark.parametrize("name", ["claude-code", "codex", "opencode"])
def test_agents_are_told_what_the_work_tree_lacks_between_the_preface_and_the_prompt(name: str) -> None:
    assignment = Assignment(RunId(ids.fresh()), "/init", None, Limits(), Door(Path("/run/x"), "model.sock", SecretStr("worthless")))
    preface = registry.agent(name).program(assignment).stdin.removesuffix(b"/init")
    lacking = registry.agent(name).program(replace(assignment, elsewhere=Elsewhere(submodules=2)))
    assert lacking.stdin == preface + b"2 submodules are empty; they cannot be fetched here.\n\n/init"


def test_every_line_of_the_shell_is_a_log_line() -> None:
    assert Shell().parse('{"type":"result"}') == AgentEvent(kind="log", text='{"type":"result"}')
    assert Shell().parse("x" * (MAX_TEXT + 1)) == AgentEvent(kind="log", text="x" * MAX_TEXT, truncated=True)


@pytest.mark.parametrize(
    ("exit_code", "code"), [(0, None), (1, "agent_exit"), (127, "agent_exit"), (137, "agent_killed"), (143, "agent_killed")]
)
def test_the_shells_verdict_is_its_exit_code(exit_code: int, code: str | None) -> None:
    assert Shell().verdict(Ending(exit_code, AgentEvent(kind="log", text="all is well"), Spending())) == code
    assert code is None or code in failures.CODES


def test_agents_are_found_by_name() -> None:
    assert registry.agent("shell").name == "shell"
    with pytest.raises(UnknownAgent):
        registry.agent("nobody")


SESSION = SessionId("8d1f0c3e-52a7-4c1b-9a6e-0f3b7d2c4e15")
OPENCODE = "ses_dd2c976acffeKmNW1hk8PE4h3d"
TOLD = {
    "claude-code": f'{{"type": "system", "subtype": "init", "session_id": "{SESSION}"}}',
    "codex": f'{{"type": "thread.started", "thread_id": "{SESSION}"}}',
    "opencode": f'{{"type": "step_start", "sessionID": "{OPENCODE}"}}',
}
GOES_ON = {"claude-code": ("--resume", SESSION), "codex": ("resume", SESSION), "opencode": ("--continue",)}


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_session_is_gone_on_with_by_its_id_and_without_the_prompt(name: str) -> None:
    agent = registry.agent(name)
    door = Door(Path("/run/x"), "model.sock", SecretStr("worthless"))
    begun = Assignment(RunId(ids.fresh()), "the prompt", None, Limits(), door)
    assert not set(GOES_ON[name]) & set(agent.program(begun).argv)
    on = agent.program(replace(begun, session_id=agent.session_of(TOLD[name])))
    place = on.argv.index(GOES_ON[name][0])
    assert on.argv[place : place + len(GOES_ON[name])] == GOES_ON[name]
    assert b"the prompt" not in on.stdin
    assert on.stdin.startswith(b"You were interrupted")


@pytest.mark.parametrize("name", sorted(TOLD))
@pytest.mark.parametrize("told", ["", "../../../etc/passwd", "--help", "x" * 36, f"{SESSION}/..", SESSION.upper(), None, 7, []])
def test_a_session_is_nothing_but_an_id(name: str, told: object) -> None:
    line = TOLD[name].replace(json.dumps(OPENCODE if name == "opencode" else str(SESSION)), json.dumps(told))
    assert line != TOLD[name]
    assert registry.agent(name).session_of(line) is None
    assert registry.agent(name).session_of(line[:-1]) is None


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_session_lies_in_the_agents_own_directory(name: str) -> None:
    place = registry.agent(name).session_place(SESSION)
    assert place is not None
    assert place.path.startswith(f"{place.directory}/")
    assert place.path.endswith(place.suffix)
    assert place.path[len(place.directory) + 1 :].count("/") == place.depth
    assert ".." not in place.path


def test_a_script_does_not_go_on_in_its_middle() -> None:
    assert Shell().session_of(TOLD["codex"]) is None
    assert Shell().session_place(SESSION) is None
