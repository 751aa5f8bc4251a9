"""A model API that is not where the operator says it is: every run of the stack fails, by a name that says whose matter that is."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.images.build import ensure_images
from shared.events.failures import FailureClass as Is
from tests.e2e.failures.rows import Row, ends
from tests.servers import git_objects
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.stack import MODEL_KEYS, Stack
from tests.servers.stack_fixtures import FILES

UNREACHABLE = Row("failed", Is.MODEL_UNREACHABLE, "model_unreachable")


@pytest.fixture(scope="module")
def stack(authority: Authority) -> Iterator[Stack]:
    """In the place of everybody's, and not up yet."""
    ensure_images(print, ["claude-code", "codex"])
    stack = Stack(
        {
            "SIGNUP": "true",
            "GIT_ALLOW_PROTOCOLS": "https,http",
            "GIT_ALLOW_NETWORKS": "127.0.0.0/8",
            "EGRESS_ALLOW_NETWORKS": "127.0.0.0/8",
            "MODEL_PATIENCE_SECONDS": "3",
            "CA_BUNDLE": str(authority.bundle),
        }
    )
    yield stack
    stack.remove()


@pytest.fixture
def addresses(authority: Authority, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where no model API is."""
    with ExitStack() as hosts:
        expired, misnamed = [
            hosts.enter_context(GitServer(tmp_path / name, tls=context))
            for name, context in (
                ("expired", authority.server_context("127.0.0.1", expired=True)),
                ("misnamed", authority.server_context("model.example")),
            )
        ]
        yield {
            "nobody listens": "http://127.0.0.1:1",
            "no such name": "https://no-such-host.invalid",
            "a certificate of yesterday": f"https://127.0.0.1:{expired.port}",
            "a certificate for another name": f"https://127.0.0.1:{misnamed.port}",
        }
        assert expired.seen == misnamed.seen == []  # nobody was shown the key


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("anthropic", "openai"), [("nobody listens", "a certificate of yesterday"), ("a certificate for another name", "no such name")]
)
def test_an_api_that_is_not_there(stack: Stack, git_server: GitServer, addresses: dict[str, str], anthropic: str, openai: str) -> None:
    name = f"model-addresses-{anthropic.replace(' ', '-')}"
    path = git_server.create(name)
    git_objects.write_commit(path, git_objects.write_tree(path, FILES))
    stack.settings |= {"ANTHROPIC_BASE_URL": addresses[anthropic], "OPENAI_BASE_URL": addresses[openai]}
    stack.up()
    try:
        person = stack.user()
        for vendor, key in MODEL_KEYS.items():
            person.client.post("/v1/credentials", {"purpose": "model_key", "vendor": vendor, "value": key})
        project = person.project(git_server.url(name))
        tasks = [person.task(project, "Do it.", agent=agent) for agent in ("claude-code", "codex")]
        for task in tasks:
            ends(stack, person, task, UNREACHABLE)
    finally:
        stack.down()
