"""What cannot be made is an error, or left out and told; the engine is stood in for by a script that has every image but some."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.images import build, recipe
from deploy.images.errors import StepFailed, ToolMissing
from deploy.images.settings import ImageSettings

TAGS = recipe.tags(ImageSettings()).agents
Lacking = Callable[[str], None]


@pytest.fixture
def lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lacking:
    """Makes a machine whose one program is an engine that has all images but this agent's."""

    def make(agent: str) -> None:
        (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$1 $3" != "image {TAGS[agent]}" ]\n')
        (tmp_path / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


def test_an_agent_whose_package_client_is_missing_is_left_out_and_told(lacking: Lacking) -> None:
    lacking("opencode")
    told = list[str]()
    assert build.ensure_images(told.append) == {agent: tag for agent, tag in TAGS.items() if agent != "opencode"}
    assert [line for line in told if "left out" in line and "opencode" in line and "apt-get install npm" in line]


def test_it_is_an_error_where_it_is_asked_for(lacking: Lacking) -> None:
    lacking("opencode")
    with pytest.raises(ToolMissing, match="apt-get install npm"):
        build.ensure_images(print, ["opencode"])


def test_an_agent_that_every_installation_can_have_is_not_left_out(lacking: Lacking, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(wheel: recipe.Wheel, context: Path) -> None:
        raise StepFailed(f"{wheel.package} does not come to {context.name}")

    lacking("codex")
    monkeypatch.setattr(build.wheels, "extract", failing)
    with pytest.raises(StepFailed):
        build.ensure_images(print)
