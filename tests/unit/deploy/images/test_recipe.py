import shutil
from pathlib import Path

import pytest

from deploy.images import recipe
from deploy.images.settings import ImageSettings


def test_tags_follow_from_content_alone() -> None:
    assert recipe.tags(ImageSettings()) == recipe.tags(ImageSettings())
    assert set(recipe.tags(ImageSettings()).agents) == {"shell", "claude-code", "codex", "opencode"}


def test_another_base_changes_every_image_that_stands_on_it() -> None:
    ours, theirs = recipe.tags(ImageSettings()), recipe.tags(ImageSettings(base_image="registry.example/debian@sha256:00"))
    assert theirs.debian == "registry.example/debian@sha256:00"
    assert ours.base != theirs.base
    assert all(ours.agents[agent] != theirs.agents[agent] for agent in recipe.AGENTS)


def test_a_changed_script_changes_the_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.tags(ImageSettings())
    shutil.copytree(recipe.HERE, tmp_path / "images")
    monkeypatch.setattr(recipe, "HERE", tmp_path / "images")
    script = tmp_path / "images" / "base" / "lib" / "harvest"
    script.write_text(script.read_text() + "# changed\n")
    after = recipe.tags(ImageSettings())
    assert after.debian == before.debian
    assert after.base != before.base


def test_an_agents_wheel_is_pinned_by_itself() -> None:
    pins = [recipe.pin(wheel.package) for wheel in recipe.AGENTS.values() if isinstance(wheel, recipe.Wheel)]
    assert all(pin.count("==") == 1 and "--hash=sha256:" in pin for pin in pins)
    with pytest.raises(KeyError):
        recipe.pin("claude-agent")


def test_every_agent_has_a_dockerfile() -> None:
    assert all((recipe.HERE / agent / "Dockerfile").is_file() for agent in recipe.AGENTS)
