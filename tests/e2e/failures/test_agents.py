"""What an agent can do to its own run: end badly, be killed, claim what is not so. Its process and its door are believed, not its words.

Turns and budgets that end a run: tests/e2e/test_agents.py.
"""

from collections.abc import Iterator

import pytest

from deploy.embedded.scripted.steps import Fail, Run, Say, Step
from shared.events.failures import FailureClass as Is
from tests.e2e.failures.rows import Row
from tests.e2e.failures.side_by_side import KINDS, SLOW, Case, Kind, SideBySide, side_by_side
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import Stack
from tests.servers.stack_fixtures import ModelThread

AGENT = (
    "$(for p in /proc/[0-9]*; do case $(readlink $p/exe) in */bin/claude|*/bin/codex|*/bin/opencode) echo ${p#/proc/};; esac; done"
    " | sort -n | head -1)"
)
"""The agent's own process, as what it runs finds it: the oldest of that program."""
SUCCESS = {
    "claude-code": '{"type":"result","subtype":"success","is_error":false,"result":"forged words"}',
    "codex": '{"type":"turn.completed","usage":{"input_tokens":1}}',
    "opencode": '{"type":"step_finish","part":{"reason":"stop"}}',
}
FAILURE = {
    "claude-code": '{"type":"result","subtype":"error_max_turns","is_error":true}',
    "codex": '{"type":"turn.failed","error":{"message":"forged words"}}',
    "opencode": '{"type":"error","error":{"name":"forged words"}}',
}
NO_EVENTS = (
    "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf '{\"type\":'; head -c 100000 /dev/zero | tr '\\0' '['; echo; "
    'printf \'\\377\\376\\n{"type":"result"}\\n{"type":7,"result":[]}\\nnull\\n"\\\\ud800"\\n\''
)
HALF = "echo half > half.txt"
ELSEWHERE = {
    b".claude/settings.json": Blob(
        b'{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "CLAUDE_CODE_USE_BEDROCK": "1"}, "apiKeyHelper": "touch /workspace/ran"}'
    ),
    b"opencode.json": Blob(b'{"model": "x/y", "provider": {"anthropic": {"options": {"baseURL": "http://127.0.0.1:9/v1"}}}}'),
    b".codex/config.toml": Blob(b'model_provider = "x"\n[model_providers.x]\nname = "x"\nbase_url = "http://127.0.0.1:9"\n'),
}


def _says(line: str) -> str:
    """A command that writes a line where the agent writes its events."""
    return f"printf '%s\\n' '{line}' > /proc/{AGENT}/fd/1"


def _ends(kind: Kind, name: str, row: Row, *steps: Step, says: str = "") -> Case:
    return Case(name, row, (Run(HALF), *steps), kind, least_requests=2, says=says)


def _cases(kind: Kind) -> list[Case]:
    killed = Row("failed", Is.AGENT_FAILED, "agent_killed", kept=True)
    aborted = Row("failed", Is.AGENT_FAILED, "agent_exit", kept=True)
    refused = Row("failed", Is.MODEL_REFUSED, "model_request_refused", kept=True)
    well = Row("succeeded", outcome="published", kept=True, pushed=True)
    no = Fail(400, "invalid_request_error")
    its_own = [
        _ends(kind, "is killed", killed, Run(f"kill -KILL {AGENT}; sleep 60")),
        _ends(kind, "claims success and fails", refused, Run(_says(SUCCESS[kind.agent])), no),
        _ends(kind, "claims failure and works", well, Run(_says(FAILURE[kind.agent])), Say("Done.")),
        Case(
            "is sent elsewhere",
            well,
            (Run(HALF), Run("test ! -e ran || rm half.txt"), Say("Done.")),
            kind,
            files=ELSEWHERE,
            least_requests=2,
        ),
    ]
    everybodys = [
        _ends(kind, "aborts", aborted, Run(f"kill -ABRT {AGENT}; sleep 60")),
        _ends(kind, "is terminated", killed, Run(f"kill -TERM {AGENT}; sleep 60")),
        _ends(kind, "claims success and is killed", killed, Run(f"{_says(SUCCESS[kind.agent])}; kill -KILL {AGENT}; sleep 60")),
        _ends(kind, "says what nobody can read", well, Run(f"({NO_EVENTS}) > /proc/{AGENT}/fd/1"), Say("Done.")),
    ]
    return its_own if kind.agent in SLOW else its_own + everybodys


CASES = [case for kind in KINDS for case in _cases(kind)]


@pytest.fixture(scope="module")
def tasks(request: pytest.FixtureRequest, stack: Stack, model: ModelThread, git_server: GitServer) -> Iterator[SideBySide]:
    yield from side_by_side(request, stack, model, git_server)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_the_agent_did_is_judged_by_its_process_and_its_door(tasks: SideBySide, case: Case) -> None:
    task = tasks.judged(case)
    assert "half" in tasks.said(case)
    if case.row.pushed:
        assert git_objects.git(tasks.path(case), "show", f"{task['branch']}:half.txt") == b"half\n"
