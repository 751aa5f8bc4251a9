"""One stack for the tests of the whole line: a scripted model behind it, a real git server beside it, somebody who uses it."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import Say
from deploy.images.build import ensure_images
from tests.servers import git_objects
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.registry import Registry
from tests.servers.stack import GIT_TOKEN, MODEL_KEYS, Person, Stack

FILES = {b"app.py": Blob(b"print('hello')\n"), b"run.sh": Blob(b"#!/bin/sh\n", "100755"), b"dir/keep.txt": Blob(b"keep\n")}


class ModelThread:
    """The scripted model on a loop of its own, so that tests can be plain functions. Have `model.play` the steps of the next task."""

    def __init__(self) -> None:
        self.model = ScriptedModel([Say("Done.")], keys=MODEL_KEYS)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self.model.start(), self._loop).result(20)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.model.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


class RegistryThread:
    """Package registries over TLS, likewise on a loop of their own."""

    def __init__(self, authority: Authority) -> None:
        self.registry = Registry(authority)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.registry.start(), self._loop).result(20)

    def settings(self) -> dict[str, str]:
        """The stack's own, which are lists with commas."""
        said = {name.removeprefix("EGRESS_"): value for name, value in self.registry.settings().items() if "PACKAGES" in name}
        return {name: ",".join(json.loads(value)) if value.startswith("[") else value for name, value in said.items()}

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.registry.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture(scope="session")
def model() -> Iterator[ModelThread]:
    thread = ModelThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(Path(tmp_path_factory.mktemp("git"))) as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """That the stack's operator trusts beside the usual ones."""
    return Authority(Path(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="session")
def registries(authority: Authority) -> Iterator[RegistryThread]:
    thread = RegistryThread(authority)
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def stack(model: ModelThread, authority: Authority, registries: RegistryThread) -> Iterator[Stack]:
    ensure_images(print)
    stack = Stack(
        {
            "SIGNUP": "true",
            "GIT_ALLOW_PROTOCOLS": "https,http",
            "GIT_ALLOW_NETWORKS": "127.0.0.0/8",
            "CA_BUNDLE": str(authority.bundle),
            "GIT_MAX_WORKSPACE_MIB": "64",
            "ANTHROPIC_BASE_URL": model.url,
            "OPENAI_BASE_URL": model.url,
            "EGRESS_ALLOW_NETWORKS": "127.0.0.0/8",
            "LEASE_TTL_SECONDS": "6",
            "MODEL_PATIENCE_SECONDS": "5",
            "RUNNER_SLOTS": "8",
            **registries.settings(),
        }
    )
    stack.up()
    yield stack
    stack.down()
    assert stack.containers() == []
    stack.remove()


@pytest.fixture
def person(stack: Stack) -> Person:
    return stack.user()


@pytest.fixture
def repository(git_server: GitServer, request: pytest.FixtureRequest) -> str:
    """A repository of this test's own, which needs a token; gives its name."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())
    path = git_server.create(name)
    git_objects.write_commit(path, git_objects.write_tree(path, FILES))
    git_server.require_token(name, GIT_TOKEN)
    return name


@pytest.fixture
def project(person: Person, git_server: GitServer, repository: str) -> str:
    """A project with that repository and every credential it takes; gives its id."""
    host = f"127.0.0.1:{git_server.port}"
    person.client.post("/v1/credentials", {"purpose": "git_token", "host": host, "value": GIT_TOKEN})
    for vendor, key in MODEL_KEYS.items():
        person.client.post("/v1/credentials", {"purpose": "model_key", "vendor": vendor, "value": key})
    return person.project(git_server.url(repository))
