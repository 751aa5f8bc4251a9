from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.git.settings import GitSettings


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_KEYRING_FILE", "/keys")
    monkeypatch.setenv("GIT_CACHE_DIR", "/cache")


def settings() -> GitSettings:
    return GitSettings()  # pyright: ignore[reportCallIssue] - the environment gives the places


def test_only_https_and_public_networks_by_default() -> None:
    assert (settings().allow_protocols, settings().allow_networks, settings().file_directories) == ({"https"}, (), ())
    assert settings().cache_dir == Path("/cache")


@pytest.mark.parametrize("text", ["10.0.0.0/8, fd00::/8", '["10.0.0.0/8", "fd00::/8"]'])
def test_lists_take_commas_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GIT_ALLOW_NETWORKS", text)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOLS", "https,http,file")
    assert settings().allow_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings().allow_protocols == {"https", "http", "file"}


@pytest.mark.parametrize(("name", "text"), [("GIT_ALLOW_PROTOCOLS", "ssh"), ("GIT_ALLOW_NETWORKS", "10.0.0.1/8"), ("GIT_SLOTS", "0")])
def test_what_is_no_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ValidationError):
        settings()


def test_every_setting_stands_in_the_readme() -> None:
    readme = (Path(__file__).parents[4] / "services/git/README.md").read_text()
    for name in GitSettings.model_fields:
        assert f"`GIT_{name.upper()}`" in readme, name
