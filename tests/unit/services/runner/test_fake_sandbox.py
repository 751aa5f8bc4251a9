from pathlib import Path

import pytest

from services.runner.sandbox import SandboxSpec
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.unit.services.runner.fake_sandbox import FakeSandboxes
from tests.unit.services.runner.sandbox_conformance import SandboxConformance, Site

BASE = "a" * 40


class TestFakeSandbox(SandboxConformance):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        workspace = tmp_path / "workspace.tar"
        workspace.touch()
        spec = SandboxSpec(RunId(ids.fresh()), 3, OwnerId(ids.fresh()), TaskId(ids.fresh()), "async-code/shell:current", Limits(), 0, 1024)
        return Site(FakeSandboxes(spec.image, BASE), spec, workspace, BASE)
