from dataclasses import replace
from pathlib import Path

import pytest

from services.runner.sandbox import SandboxSpec
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits
from tests.unit.services.runner.fake_sandbox import FakeSandboxes
from tests.unit.services.runner.sandbox_conformance import SandboxConformance, Site, Warmed

BASE = "a" * 40


def fake_site(directory: Path) -> Site:
    workspace = directory / "workspace.tar"
    workspace.touch()
    spec = SandboxSpec(RunId(ids.fresh()), 3, OwnerId(ids.fresh()), TaskId(ids.fresh()), "async-code/shell:current", Limits(), 0, 1024)
    return Site(FakeSandboxes(spec.image, BASE), spec, workspace, BASE)


class TestFakeSandbox(SandboxConformance):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        return fake_site(tmp_path)


class TestWarmFakeSandbox(SandboxConformance):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        cold = fake_site(tmp_path)
        return replace(cold, sandboxes=Warmed(cold.sandboxes))
