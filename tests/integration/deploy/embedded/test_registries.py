"""Where sandboxes' packages come from is what this machine's own clients say, and what a registry says of its files."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.embedded import registries
from tests.servers.authority import Authority
from tests.servers.registry import Registry


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """A machine whose package clients are these programs, which say this."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))

    def has(clients: dict[str, str]) -> None:
        for name in ("pip3", "npm", "go"):
            path = programs / name
            path.write_text(f"#!/bin/sh\ncat <<'END'\n{clients[name]}\nEND\n" if name in clients else "#!/bin/sh\nexit 1\n")
            path.chmod(0o755)

    return has


async def test_the_clients_are_asked_and_their_registries_where_files_lie(
    machine: Callable[[dict[str, str]], None], tmp_path: Path
) -> None:
    registry = Registry(Authority(tmp_path))
    await registry.start()
    try:
        registry.python_index("pip", ("/packages/pip-1.0.zip", b""))
        machine(
            {
                "pip3": f"  -i, --index-url <url>  Base URL of the Python Package Index (default {registry.url}/simple). This",
                "npm": f"{registry.url}/npm/",
                "go": "https://user:password@proxy.example,https://proxy.example/go|direct",
            }
        )
        (tmp_path / ".cargo").mkdir()
        source = f'[source.crates-io]\nreplace-with = "own"\n[source.own]\nregistry = "sparse+{registry.url}/cargo/"\n'
        (tmp_path / ".cargo/config.toml").write_text(source)
        found = await asyncio.to_thread(registries.find, {"CA_BUNDLE": str(registry.authority.bundle)})
    finally:
        await registry.stop()
    assert (found["PIP"], found["NPM"]) == ([f"{registry.url}/simple"], [f"{registry.url}/npm/"])
    assert (found["CARGO"], found["GO"]) == ([f"{registry.url}/cargo/"], ["https://proxy.example/go"])
    assert found["FILE_ORIGINS"] == [registry.files_url]
    assert len(found["DEBIAN"]) == 2


def test_a_machine_without_clients_has_archives_alone(machine: Callable[[dict[str, str]], None]) -> None:
    machine({})
    assert registries.find({}).keys() == {"DEBIAN", "FILE_ORIGINS"}


def test_what_the_operator_names_is_not_looked_for(machine: Callable[[dict[str, str]], None], tmp_path: Path) -> None:
    machine({})
    (tmp_path / "bin/npm").write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    assert "NPM" not in registries.find({"PACKAGES_NPM": "none"})
    assert not (tmp_path / "asked").exists()
