"""What a person asks of an agent is in the request its model gets: the real programs, through the real door."""

import json
from typing import Any

import pytest

from cli.client import Json
from deploy.embedded.scripted.steps import Run, Say
from tests.servers.stack import Person
from tests.servers.stack_fixtures import ModelThread

SYSTEM_PROMPT = 'PLANTED-RULE: say "arr" \\ \x7f \N{PARROT}.\nAlways.'


def _effort(body: Json) -> Any:
    """As either vendor's API takes it."""
    return body["reasoning"]["effort"] if "reasoning" in body else body["output_config"]["effort"]


@pytest.mark.parametrize(
    ("agent", "model_name", "effort", "tools"),
    [
        ("claude-code", "claude-opus-4-8", "max", ("Bash", "Read")),
        ("codex", "gpt-5.3-codex", "xhigh", None),
        # Nobody has heard of this one, and it is asked all the same, as hard as it was said.
        ("opencode", "claude-unheard-of", "high", ("bash", "read")),
    ],
    ids=str,
)
def test_the_model_is_asked_as_the_person_says(
    agent: str, model_name: str, effort: str, tools: tuple[str, ...] | None, person: Person, project: str, model: ModelThread
) -> None:
    model.model.requests.clear()
    model.model.play([Run("echo done > done.txt"), Say("Done.")])
    options: Json = {"effort": effort, "append_system_prompt": SYSTEM_PROMPT} | ({} if tools is None else {"allowed_tools": tools})
    person.client.put(f"/v1/projects/{project}/agent-defaults/{agent}", {"effort": "low", "append_system_prompt": "not this"})
    task = person.until(person.task(project, "Do it", agent=agent, model=model_name, agent_options=options))
    assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    asked = [body for body in model.model.requests if "Do it" in json.dumps(body)]
    assert len(asked) == 2
    assert {(body["model"], _effort(body)) for body in asked} == {(model_name, effort)}
    for body in asked:
        said = json.dumps(body, ensure_ascii=False)
        assert json.dumps(SYSTEM_PROMPT, ensure_ascii=False)[1:-1] in said
        assert "not this" not in said
        assert tools is None or set(tools) <= {tool["name"] for tool in body["tools"]}
        assert tools is None or not {"Edit", "Write", "Agent", "edit", "write", "task"} & {tool["name"] for tool in body["tools"]}
    entries = json.dumps(list(person.client.pages("/v1/audit", key="entries", task_id=task["id"], limit=500)))
    assert "PLANTED-RULE" not in entries
