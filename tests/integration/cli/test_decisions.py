"""What only a person decides: nothing is pushed that was not shown, or whose tree was not named."""

import json
from typing import Any

import pytest

from cli.client import Client
from cli.exits import Exit

from .api import TASK_ID, Answer, Api, events, problem, task
from .command import Person

TASK = f"/v1/tasks/{TASK_ID}"
TREE, OTHER = "a" * 40, "b" * 40
CI = ".github/workflows/ci.yml"
CHANGE = {"files": 2, "additions": 3, "deletions": 1, "protected_files": 1, "held_reason": "protected_paths"}
CHANGES = {
    "base_sha": OTHER,
    "tree_sha": TREE,
    "files": [
        {"path": "app.py", "status": "modified", "additions": 2, "deletions": 1},
        {"path": CI, "status": "added", "additions": 1, "deletions": 0, "protected": True, "protected_by": ".github/workflows/**"},
    ],
}
KEPT = {"tree_sha": TREE, "size_bytes": 7, "expires_at": "2026-12-01T12:00:00Z"}


@pytest.fixture(autouse=True)
def _signed_in(client: Client) -> None:
    assert client.server


def waiting(**more: Any) -> dict[str, Any]:
    return task("awaiting_approval", tree_sha=TREE, change=CHANGE, updated_at="2", **more)


def failed(**more: Any) -> dict[str, Any]:
    return task("failed", kept=KEPT, updated_at="1", **more)


def sent(api: Api, action: str) -> list[dict[str, Any]]:
    return [asked.json for asked in api.of("POST", f"{TASK}/{action}")]


def test_an_approval_shows_what_is_protected_and_asks(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(waiting())
    api.answers["GET", f"{TASK}/changes"] = Answer(CHANGES)
    api.answers["POST", f"{TASK}/approve"] = Answer(task("publishing"), 202)
    code, said = person.on_terminal("task", "approve", TASK_ID, typed="n\n")
    assert (code, sent(api, "approve")) == (Exit.FAILED, [])
    assert "Nothing was pushed." in said
    code, said = person.on_terminal("task", "approve", TASK_ID, typed="y\n")
    assert (code, sent(api, "approve")) == (0, [{"tree_sha": TREE}])
    assert said.index("app.py") < said.index("1 protected file") < said.index(CI) < said.index("matches .github/workflows/**")
    assert f"\x1b[1;35m{CI}\x1b[0m" in said
    assert TREE in said
    code, said = person.on_terminal("task", "approve", TASK_ID, "--tree", OTHER, typed="y\n")
    assert (code, len(sent(api, "approve"))) == (Exit.REFUSED, 1)


def test_a_rejection_shows_what_is_protected_and_asks_and_a_script_is_not_asked(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(waiting())
    api.answers["GET", f"{TASK}/changes"] = Answer(CHANGES)
    api.answers["POST", f"{TASK}/reject"] = Answer(task("cancelled"), 202)
    code, said = person.on_terminal("task", "reject", TASK_ID, typed="n\n")
    assert (code, sent(api, "reject")) == (Exit.FAILED, [])
    assert "Nothing was rejected." in said
    code, said = person.on_terminal("task", "reject", TASK_ID, typed="y\n")
    assert (code, len(sent(api, "reject"))) == (0, 1)
    assert said.index("app.py") < said.index("1 protected file") < said.index(CI) < said.index("matches .github/workflows/**")
    for arguments in (["--yes"], ["--json"]):
        assert person.run("task", "reject", TASK_ID, *arguments).returncode == 0
    assert len(sent(api, "reject")) == 3


def test_a_script_names_the_tree_it_approves(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(task("running"))
    assert person.run("task", "approve", TASK_ID, "--yes", "--tree", TREE).returncode == Exit.REFUSED
    api.answers["GET", TASK] = Answer(waiting())
    api.answers["POST", f"{TASK}/approve"] = Answer(task("publishing"), 202)
    for arguments in ([], ["--yes"], ["--tree", TREE]):
        assert person.run("task", "approve", TASK_ID, *arguments).returncode == Exit.USAGE
    assert sent(api, "approve") == []
    done = person.run("task", "approve", TASK_ID, "--yes", "--tree", OTHER)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "publishing")
    assert sent(api, "approve") == [{"tree_sha": OTHER}]


def test_what_was_never_shown_is_prepared_shown_and_asked_about(api: Api, person: Person) -> None:
    """The stream of an ended task is over at once: the command waits until the task was reopened."""
    api.answers["GET", TASK] = [Answer(failed()), Answer(failed()), Answer(waiting())]
    api.answers["GET", f"{TASK}/events"] = events(("snapshot", "9.0", waiting()))
    api.answers["GET", f"{TASK}/messages"] = Answer({"messages": [], "next_cursor": None})
    api.answers["GET", f"{TASK}/changes"] = Answer(CHANGES)
    for action in ("publish", "approve"):
        api.answers["POST", f"{TASK}/{action}"] = Answer(task("publishing"), 202)
    code, said = person.on_terminal("task", "publish", TASK_ID, typed="y\n")
    assert (code, sent(api, "publish"), sent(api, "approve")) == (0, [{}], [{"tree_sha": TREE}])
    assert said.index("is being published") < said.index(CI) < said.index("is approved")


def test_what_was_shown_before_is_published_at_once(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(failed(change=CHANGE))
    api.answers["GET", f"{TASK}/changes"] = Answer(CHANGES)
    api.answers["POST", f"{TASK}/publish"] = Answer(failed(), 202)
    assert person.on_terminal("task", "publish", TASK_ID, typed="n\n")[0] == Exit.FAILED
    assert sent(api, "publish") == []
    code, said = person.on_terminal("task", "publish", TASK_ID, "--credential", "c", typed="y\n")
    assert (code, sent(api, "publish")) == (0, [{"credential_id": "c", "tree_sha": TREE}])
    assert CI in said


def test_a_script_publishes_what_it_names_or_leaves_it_waiting(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(failed())
    api.answers["POST", f"{TASK}/publish"] = Answer(failed(), 202)
    for arguments in (["--yes"], ["--tree", TREE]):
        assert person.run("task", "publish", TASK_ID, *arguments).returncode == Exit.USAGE
    assert person.run("task", "publish", TASK_ID, "--yes", "--tree", TREE).returncode == 0
    api.answers["GET", TASK] = [Answer(failed()), Answer(failed()), Answer(waiting())]
    api.answers["GET", f"{TASK}/events"] = events(("snapshot", "9.0", waiting()))
    api.answers["GET", f"{TASK}/messages"] = Answer({"messages": [], "next_cursor": None})
    done = person.run("task", "publish", TASK_ID, "--watch")
    assert (done.returncode, sent(api, "publish")) == (Exit.TASK_WAITS, [{"tree_sha": TREE}, {}])
    answer, snapshot = map(json.loads, done.stdout.splitlines())
    assert (answer["state"], snapshot["data"]["state"]) == ("failed", "awaiting_approval")
    keys = {asked.headers["idempotency-key"] for asked in api.of("POST", f"{TASK}/publish")}
    assert len(keys) == 2


def test_a_refused_publish_says_what_to_do(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(task("failed", kept=None))
    api.answers["POST", f"{TASK}/publish"] = problem(409, "nothing-kept", "Nothing is kept.", advice="Create it again.")
    done = person.run("task", "publish", TASK_ID)
    assert (done.returncode, done.stderr) == (Exit.REFUSED, "async-code: Nothing is kept.\nCreate it again.\n")


def test_nothing_is_discarded_without_a_word(api: Api, person: Person) -> None:
    api.answers["GET", TASK] = Answer(failed())
    api.answers["POST", f"{TASK}/discard"] = Answer(failed(), 202)
    assert person.run("task", "discard", TASK_ID).returncode == Exit.USAGE
    assert person.on_terminal("task", "discard", TASK_ID, typed="\n")[0] == Exit.FAILED
    assert sent(api, "discard") == []
    assert person.run("task", "discard", TASK_ID, "--yes").returncode == 0
    assert person.on_terminal("task", "discard", TASK_ID, typed="y\n")[0] == 0
    assert sent(api, "discard") == [{}, {}]


def test_a_budget_is_shown_with_what_to_do_and_raised(api: Api, person: Person) -> None:
    reached = {"budget": "project", "limit_usd": 20.0, "spent_usd": 20.01}
    budget = {"reached": reached, "spent_usd": 3.5, "expires_at": "2026-12-01T12:00:00Z"}
    api.answers["GET", TASK] = Answer(task("awaiting_budget", budget=budget))
    api.answers["POST", f"{TASK}/budget"] = Answer(task("awaiting_budget", budget=budget), 202)
    _, said = person.on_terminal("task", "show", TASK_ID, typed="")
    assert "the project's budget for this month of $20.0 is used up: $20.01 spent" in said
    assert f"./async-code task budget {TASK_ID[:8]} USD" in said
    assert person.run("task", "budget", TASK_ID, "5").returncode == 0
    assert person.run("task", "budget", TASK_ID).returncode == 0
    assert person.run("task", "budget", TASK_ID, "much").returncode == Exit.USAGE
    assert sent(api, "budget") == [{"max_cost_usd": 5.0}, {}]
