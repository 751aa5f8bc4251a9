"""What an environment may say: paths in one spelling, in two places, and nothing that leads elsewhere."""

import pytest
from pydantic import ValidationError

from shared.events.environments import MAX_SCRIPT_BYTES, Environment


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"setup_script": "true"},
        {"directories": ["/workspace/lib"]},
        {"image": "Upper"},
        {"image": "a b"},
        {"image": "-x"},
        {"setup_script": "true", "directories": ["lib"]},
        {"setup_script": "true", "directories": ["/workspace"]},
        {"setup_script": "true", "directories": ["/workspace/"]},
        {"setup_script": "true", "directories": ["/workspace/../etc"]},
        {"setup_script": "true", "directories": ["/workspace/a//b"]},
        {"setup_script": "true", "directories": ["/workspace/a/./b"]},
        {"setup_script": "true", "directories": ["/workspace/.git"]},
        {"setup_script": "true", "directories": ["/workspace/a/.GIT/hooks"]},
        {"setup_script": "true", "directories": ["/workspace/a\nb"]},
        {"setup_script": "true", "directories": ["/home/agent"]},
        {"setup_script": "true", "directories": ["/home/agents/x"]},
        {"setup_script": "true", "directories": ["/etc"]},
        {"setup_script": "true", "directories": ["/workspace/a", "/workspace/a"]},
        {"setup_script": "true", "directories": ["/workspace/a", "/workspace/a/b"]},
        {"setup_script": "true", "directories": ["/workspace/a"], "lock_files": ["/etc/passwd"]},
        {"setup_script": "true", "directories": ["/workspace/a"], "lock_files": ["../x"]},
        {"setup_script": "true", "directories": ["/workspace/a"], "lock_files": ["x\0"]},
        {"setup_script": "true", "directories": ["/workspace/a"], "timeout_seconds": 0},
        {"setup_script": "x" * (MAX_SCRIPT_BYTES + 1), "directories": ["/workspace/a"]},
    ],
)
def test_what_leads_elsewhere_or_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Environment.model_validate(wrong)


def test_what_may_be_said() -> None:
    Environment(image="registry.example.org:5000/team/web@sha256:00")
    Environment(setup_script="true", directories=("/workspace/a b", "/workspace/ab", "/home/agent/.cache/x"), lock_files=("**", "a/*.lock"))
