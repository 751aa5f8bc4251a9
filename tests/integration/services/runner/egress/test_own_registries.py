"""This machine's own clients through a door to the registries that they are set up for, found as a first start finds them."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.embedded import registries
from deploy.embedded.processes import LISTS
from tests.integration.services.runner.egress.sandboxes import Sandbox, Sandboxes, client
from tests.servers.egress import EgressProcess


@pytest.fixture(scope="module")
def found() -> registries.Found:
    return registries.find({})


@pytest.fixture
async def own(found: registries.Found, short_path: Path) -> AsyncIterator[Sandboxes]:
    """At whatever address they lie: an operator whose registries are private opens their networks."""
    more = {f"EGRESS_PACKAGES_{name}": json.dumps(at) if name in LISTS else at[0] for name, at in found.items()}
    egress = EgressProcess(short_path, "https://127.0.0.1:1", allow_networks='["0.0.0.0/0"]', more=more)
    await egress.start()
    yield Sandboxes(egress)
    egress.stop()


async def door(own: Sandboxes, found: registries.Found, family: str, path: str) -> Sandbox:
    """A door to a registry that is there."""
    if family.upper() not in found:
        pytest.skip(f"needs a machine whose {family} is set up")
    sandbox = await own.door(family)
    if (await sandbox.get(path))[0] != 200:
        pytest.skip(f"needs this machine's {family} registry to answer")
    return sandbox


def came(directory: Path, pattern: str) -> bool:
    return any(directory.glob(pattern))


async def test_pip(own: Sandboxes, found: registries.Found, tmp_path: Path) -> None:
    sandbox = await door(own, found, "pip", "pip/simple/six/")
    pip = shutil.which("pip3") or shutil.which("pip") or ""
    async with sandbox.port() as port:
        index = f"http://127.0.0.1:{port}/packages/pip/simple/"
        await client(pip, "download", "--no-deps", "--no-cache-dir", "--index-url", index, "-d", str(tmp_path), "six", home=tmp_path)
    assert came(tmp_path, "six-*.whl")
    assert not await sandbox.reasons()


async def test_npm(own: Sandboxes, found: registries.Found, tmp_path: Path) -> None:
    sandbox = await door(own, found, "npm", "npm/is-odd")
    npm = shutil.which("npm") or ""
    async with sandbox.port() as port:
        registry = f"--registry=http://127.0.0.1:{port}/packages/npm/"
        await client(npm, "install", "is-odd", registry, "--no-audit", "--no-update-notifier", home=tmp_path)
    assert (tmp_path / "node_modules/is-odd/package.json").exists()
    assert not await sandbox.reasons()


async def test_apt(own: Sandboxes, found: registries.Found, tmp_path: Path) -> None:
    apt = shutil.which("apt-get")
    if apt is None:
        pytest.skip("needs apt")
    sandbox = await door(own, found, "debian", "debian/0/dists/bookworm/InRelease")
    for directory in ("lists/partial", "cache/archives/partial"):
        (tmp_path / directory).mkdir(parents=True)
    where = {"Etc::SourceList": "sources.list", "State::Lists": "lists", "Cache": "cache"}
    options = [f"-oDir::{name}={tmp_path / path}" for name, path in where.items()]
    options += ["-oDir::Etc::SourceParts=-", "-oAPT::Sandbox::User=root", "-oAcquire::Languages=none"]
    async with sandbox.port() as port:
        (tmp_path / "sources.list").write_text(f"deb http://127.0.0.1:{port}/packages/debian/0 bookworm main\n")
        await client(apt, *options, "update", home=tmp_path)
        await client(apt, *options, "download", "hello", home=tmp_path)
    assert came(tmp_path, "hello_*.deb")
    assert not await sandbox.reasons()
