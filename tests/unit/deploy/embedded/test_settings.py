import contextlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from deploy.embedded import settings
from deploy.embedded.settings import BadSetting
from services.runner.settings import RunnerSettings


def test_the_environment_wins_and_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    assert settings.remember(file, {"ASYNC_CODE_GIT_ALLOW_NETWORKS": "10.0.0.0/8", "ANTHROPIC_API_KEY": "planted"}) == {
        "GIT_ALLOW_NETWORKS": "10.0.0.0/8"
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert "planted" not in file.read_text()
    assert settings.remember(file, {}) == {"GIT_ALLOW_NETWORKS": "10.0.0.0/8"}
    assert settings.remember(file, {"ASYNC_CODE_GIT_ALLOW_NETWORKS": ""}) == {"GIT_ALLOW_NETWORKS": ""}


@pytest.mark.parametrize("line", ["ASYNC_CODE_GIT_ALOW_NETWORKS=10.0.0.0/8", "PATH=/tmp", "nonsense"])
def test_a_misspelt_line_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "settings.env").write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(BadSetting, match="ASYNC_CODE_"):
        settings.remember(tmp_path / "settings.env", {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "http"),
        ("SIGNUP", "yes"),
        ("GIT_ALLOW_PROTOCOLS", "https,ext"),
        ("ANTHROPIC_BASE_URL", "https://key@example.com"),
        ("CA_BUNDLE", "relative.pem"),
        ("HTTP_HOST", "127.0.0.1\nASYNC_CODE_SIGNUP=true"),
        ("HTTP_PORT", "65536"),
        ("LEASE_TTL_SECONDS", "1"),
        ("RUNNER_SLOTS", "0"),
        ("RUNNER_SLOTS", "257"),
        ("DOCKER_HOST", "ssh://elsewhere"),
        ("STORE_MIB", "99"),
        ("STREAMS", '{"EVT": {"days": 1}}'),
        ("STREAMS", '{"EVT": '),
        ("GIT_CACHE_MIB", "0"),
        ("LOG_MIB", "0"),
        ("KEEP_TASKS_DAYS", "0"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        settings.resolve({}, {f"ASYNC_CODE_{name}": value})


@pytest.mark.parametrize(("name", "field"), [("LEASE_TTL_SECONDS", "lease_ttl_seconds"), ("RUNNER_SLOTS", "slots")])
def test_the_bounds_are_those_of_the_process_itself(name: str, field: str, tmp_path: Path) -> None:
    (bounds,) = (setting.bounds for setting in settings.TABLE if setting.name == name)
    assert bounds is not None
    for value, taken in ((bounds[0], True), (bounds[1], True), (bounds[0] - 1, False), (bounds[1] + 1, False)):
        with contextlib.nullcontext() if taken else pytest.raises(ValidationError):
            RunnerSettings.model_validate({"state_dir": tmp_path, field: value})


def test_every_setting_stands_in_the_readme() -> None:
    readme = (Path(settings.__file__).parent / "README.md").read_text()
    assert [setting.name for setting in settings.TABLE if f"`ASYNC_CODE_{setting.name}`" not in readme] == []
