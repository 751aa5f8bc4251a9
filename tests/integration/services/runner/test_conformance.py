from collections.abc import AsyncIterator

import pytest

from services.runner.docker_factory import DockerSandboxes
from tests.integration.services.runner.inside import MakeSpec
from tests.integration.services.runner.snapshots import Snapshot
from tests.unit.services.runner.sandbox_conformance import SandboxConformance, Site, Warmed


class TestDockerSandbox(SandboxConformance):
    @pytest.fixture
    def site(self, sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot) -> Site:
        return Site(sandboxes, make_spec(fence=3), small_snapshot.tar, small_snapshot.base_sha)


class TestWarmDockerSandbox(SandboxConformance):
    @pytest.fixture
    async def site(self, sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot) -> AsyncIterator[Site]:
        warmed = Warmed(sandboxes)
        yield Site(warmed, make_spec(fence=3), small_snapshot.tar, small_snapshot.base_sha)
        await warmed.close()
